"""Defines what sources give: items, problems in place of items, and the end of each part.

Promises: everything here is immutable for its holder. (What there is one of for each item is a struct of msgspec, which
is made in a fifth of the time of a dataclass.) The content hash of an item covers all that a record is made
from (text or image or vector, and metadata) and is the same on every machine.
Concurrency: values.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from vecdb.checks.metadata import encode_sound, sound_metadata
from vecdb.ingest.sources.config import CONTENT_HASH_BYTES
from vecdb.types import FloatArray, Metadata, RecordId

Kind: TypeAlias = Literal["text", "markdown", "html", "code", "pdf", "row", "image", "vector"]
"""What an item was read from; it decides how its text is cut unless a chunker is named."""

Scope: TypeAlias = Literal["item", "part", "source"]
"""How much a problem hides: one item, the rest of a part, or parts that were not even listed."""

State: TypeAlias = Literal["read", "unchanged", "failed"]

_BEGUN: Final = blake2b(digest_size=CONTENT_HASH_BYTES, person=b"vecdb item")


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where something was read, for people: a file and, where they exist, line, row (from 1) and page."""

    file: str
    line: int | None = None
    page: int | None = None
    row: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        if self.page is not None:
            place += f", page {self.page}"
        return f"{place}, row {self.row}" if self.row is not None else place


@dataclass(frozen=True, slots=True)
class Image:
    """An image that stays where it is; `path` is read when it is embedded. `content_hash` is of its bytes."""

    path: Path
    media_type: str
    content_hash: bytes


class Item(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One document: exactly one of `text`, `image` and `vector` is what its vector comes from.

    An item with a vector may have a text too, which is then stored and not embedded. `part` is the key of the part
    that it belongs to and `ordinal` its number there, from 0, bad items not counted. `metadata` can be stored as it is:
    what had to be converted for that is. Whoever gives a `content_hash` vouches for both.
    """

    id: RecordId
    part: str
    ordinal: int
    kind: Kind
    position: Position
    text: str | None = None
    image: Image | None = None
    vector: FloatArray | None = None
    metadata: Metadata = msgspec.field(default_factory=dict)
    content_hash: bytes = b""

    def __post_init__(self) -> None:
        if not self.content_hash:
            metadata = sound_metadata(self.metadata, self.ordinal)
            packed = encode_sound(metadata, self.ordinal, by_key=True)
            msgspec.structs.force_setattr(self, "metadata", metadata)
            msgspec.structs.force_setattr(self, "content_hash", _content_hash(self, packed))


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read, where, why and what to do. `item_id` where the bad item still had one."""

    part: str
    position: Position
    message: str
    scope: Scope = "item"
    item_id: RecordId | None = None
    reason: str = "INVALID_DOCUMENT"

    def __str__(self) -> str:
        return f"{self.position}: {self.message}"


@dataclass(frozen=True, slots=True)
class PartEnd:
    """All of a part was given. Items known of it from earlier that were not among them have vanished if "read".

    Nothing of an "unchanged" or "failed" part has vanished. `fingerprint` is what to remember of the part: None when
    it has none, or may have changed meanwhile, and is to be read next time.
    """

    part: str
    state: State
    fingerprint: str | None
    items: int = 0
    problems: int = 0


@dataclass(frozen=True, slots=True)
class SourceEnd:
    """The source was listed. Parts known from earlier without a PartEnd have vanished if all sources are `complete`.

    All of the run, that is: what one of them does not list, another may.
    """

    name: str
    complete: bool


Event: TypeAlias = Item | Problem | PartEnd | SourceEnd


def hash_of_text(text: bytes, metadata: bytes) -> bytes:
    """The content hash of an item with a text in UTF-8 and with metadata as `encode_metadata` packs it by key."""
    made = _BEGUN.copy()
    made.update(b"%d:%b--%d:%b" % (len(text), text, len(metadata), metadata))
    return made.digest()


def _content_hash(item: Item, metadata: bytes) -> bytes:
    """Length-prefixed parts, so that no two items run together; keys sorted, since tables reorder their columns."""
    text = None if item.text is None else item.text.encode("utf-8", "surrogatepass")
    if item.image is None and item.vector is None and text is not None:  # most are: the same, put together faster
        return hash_of_text(text, metadata)
    image = None if item.image is None else item.image.content_hash
    vector = None if item.vector is None else item.vector.tobytes()
    made = _BEGUN.copy()
    for piece in (text, image, vector, metadata):
        made.update(b"-" if piece is None else b"%d:%b" % (len(piece), piece))
    return made.digest()
