"""Spells keys and values of a journal's tables. All of them are sealed with a checksum (`vecdb.storage.sealed`).

    state       "identity", "counters"    msgpack
    part_names  1, key of the part        number u32 (beyond PART_KEY_BYTES_MAX its beginning and a hash)
    parts       number u32                msgpack [epoch, items, fingerprint or nil, key]
    items       text of the id            ITEM, content hash, ids of chunks (big-endian, see `_ITEM`)
    members     part u32, number u64      text of the id: the items of a part, in the order in which they were first met
    intended    number u64                msgpack [{part: [id …]}, epoch, [[text of the id, ITEM and ids of chunks] …]]:
                                          what may be stored by a delivery under way; first what is one record of
                                          its own id, a str
    failures    "i", text of the id       msgpack; an item in quarantine
                "p", part u32, hash       msgpack; something without id that could not be read
    runs        number u32                msgpack

The ids of chunks take four bytes when they are the id of the item itself or `ID#0` … `ID#n`, as most are.
Promises: what `decode_*` returns is what was encoded. Concurrency: pure functions.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import wraps
from hashlib import blake2b
from typing import Any, Final, NamedTuple, ParamSpec, TypeAlias, TypeVar

import msgspec

from vecdb.config import ID_BYTES_MAX
from vecdb.errors import CorruptionError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.journal.config import MESSAGE_CHARS_MAX, PART_HASH_BYTES, PART_KEY_BYTES_MAX
from vecdb.ingest.journal.states import Failure, ItemState, ItemWrite, PipelineIdentity, RunRecord, RunState
from vecdb.storage.keys import id_from_key, id_key
from vecdb.types import RecordId

Bytes: TypeAlias = bytes | memoryview

IDENTITY: Final = b"identity"
COUNTERS: Final = b"counters"
PROBLEM: Final = b"p"

_ITEM = struct.Struct(">BIIQQB")  # type of the id, part, epoch, number, version, bytes of the content hash
_MEMBER = struct.Struct(">IQ")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_CHUNKS = struct.Struct(">BI")  # form, count
_U16 = struct.Struct(">H")

_OWN_ID: Final = 0
_NUMBERED: Final = 1
_LISTED: Final = 2

_OWN_CHUNK: Final = _CHUNKS.pack(_OWN_ID, 1)

_INT: Final = 1
_STR: Final = 2
_UUID: Final = 3

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError, KeyError, AttributeError)
"""What decoding raises when a value is sound by its checksum and of another form: another version wrote it."""

P = ParamSpec("P")
T = TypeVar("T")

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_intent = msgspec.msgpack.Decoder(tuple[dict[int, list[str]], int, list[tuple[bytes, bytes]]]).decode


def _checked(decode: Callable[P, T]) -> Callable[P, T]:
    @wraps(decode)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return decode(*args, **kwargs)
        except _UNREADABLE as error:
            if isinstance(error, CorruptionError):
                raise
            raise CorruptionError(
                f"a stored value has an unknown form ({type(error).__name__}); a newer vecdb may have written it"
            ) from None

    return checked


class Head(NamedTuple):
    """The fixed part of an item's record; `hash_bytes` is 0 when its content is not stored in whole."""

    id_type: int
    part: int
    epoch: int
    number: int
    version: int
    hash_bytes: int


@dataclass(slots=True)
class Counters:
    """The numbers that are given next, how many items have chunks, and what `position` and `forget_contents` keep."""

    next_item: int = 0
    next_part: int = 0
    next_run: int = 1
    stored: int = 0
    epoch: int = 0
    position: int = 0


# --- keys ------------------------------------------------------------------------------------------------------------


def item_key(item_id: RecordId) -> bytes:
    """The text of an id, which is the key of items, intended and (after "i") failures. InvalidIdError for no id."""
    key = id_key(item_id)
    return key[1:] if key[0] == _STR else str(item_id).encode()


def item_keys(item_ids: Iterable[RecordId]) -> list[bytes]:
    """`item_key` of each. About 0.1 µs for what most ids are."""
    return [
        one.encode() if type(one) is str and 0 < len(one) <= ID_BYTES_MAX and one.isascii() else item_key(one)
        for one in item_ids
    ]


def part_key(name: str) -> bytes:
    """Key in part_names. Paths may hold bytes that are no UTF-8, as surrogates."""
    raw = name.encode("utf-8", "surrogatepass")
    if len(raw) > PART_KEY_BYTES_MAX:
        raw = raw[:PART_KEY_BYTES_MAX] + b"\x00" + blake2b(raw, digest_size=PART_HASH_BYTES).digest()
    return b"\x01" + raw


def number_key(number: int) -> bytes:
    """Key in parts and runs."""
    return _U32.pack(number)


def member_key(part: int, number: int) -> bytes:
    """Key in members."""
    return _MEMBER.pack(part, number)


def member_number(key: bytes) -> int:
    """The item's number in a members key."""
    return int.from_bytes(key[4:], "big")


def intent_key(number: int) -> bytes:
    """Key in intended."""
    return _U64.pack(number)


def failure_key(item_text: bytes) -> bytes:
    """Key in failures of an item, by its `item_key`."""
    return b"i" + item_text


def problem_key(part: int, failure: Failure) -> bytes:
    """Key in failures of something without id: the same problem at the same place has the same key in every run."""
    place = f"{failure.position}\x00{failure.reason}".encode("utf-8", "surrogatepass")
    return PROBLEM + _U32.pack(part) + blake2b(place, digest_size=8).digest()


# --- items -----------------------------------------------------------------------------------------------------------


def encode_item(item: ItemWrite, part: int, epoch: int, number: int, content_hash: bytes) -> bytes:
    """Value of items, and of those that are intended."""
    item_id, chunks = item.id, item.chunks
    head = _ITEM.pack(
        _STR if type(item_id) is str else id_type(item_id), part, epoch, number, item.version, len(content_hash)
    )
    # mostly the one id is the very object
    is_own = len(chunks) == 1 and chunks[0] is item_id
    return head + content_hash + (_OWN_CHUNK if is_own else _encode_chunks(item))


def encode_intent(items: Mapping[bytes, ItemWrite], parts: Mapping[str, int], epoch: int) -> bytes:
    """Value of intended, of items by their keys; `parts` has the numbers of their parts."""
    own: dict[int, list[str]] = {}
    rows = []
    for key, item in items.items():
        chunks, part = item.chunks, parts[item.part]
        if type(item.id) is str and len(chunks) == 1 and chunks[0] is item.id:
            own.setdefault(part, []).append(item.id)
        else:
            rows.append((key, encode_item(item, part, epoch, 0, b"")))
    return encode([own, epoch, rows])


@_checked
def decode_intent(payload: Bytes) -> list[tuple[bytes, bytes]]:
    """Value of intended: keys and values of items."""
    own, epoch, rows = _decode_intent(payload)
    made = [
        (one.encode(), encode_item(ItemWrite(one, "", b"", (one,)), part, epoch, 0, b""))
        for part, ids in own.items()
        for one in ids
    ]
    return made + rows


def item_head(payload: Bytes) -> Head:
    """The fixed part of an item's record."""
    return Head._make(_ITEM.unpack_from(payload))


def id_type(item_id: RecordId) -> int:
    """1 for int, 2 for str, 3 for UUID."""
    return _STR if isinstance(item_id, str) else _UUID if isinstance(item_id, uuid.UUID) else _INT


def content_hash_of(payload: Bytes, head: Head) -> bytes:
    """The content hash in an item's record."""
    return bytes(payload[_ITEM.size : _ITEM.size + head.hash_bytes])


def chunks_of(item_id: RecordId, payload: Bytes, head: Head) -> tuple[RecordId, ...]:
    """The ids of chunks in an item's record."""
    return _decode_chunks(item_id, bytes(payload[_ITEM.size + head.hash_bytes :]))


def has_chunks(payload: Bytes, head: Head) -> bool:
    """Whether anything is stored of an item, or may be."""
    return bool(_CHUNKS.unpack_from(payload, _ITEM.size + head.hash_bytes)[1])


def decode_id(key: bytes, head: Head) -> RecordId:
    """The id whose text is the key of an item's record."""
    text = key.decode()
    if head.id_type == _INT:
        return int(text)
    return uuid.UUID(text) if head.id_type == _UUID else text


def decode_item(key: bytes, payload: Bytes, part: str, epoch: int) -> ItemState:
    """An item's record; the content hash is left out when it is of an older epoch."""
    head = item_head(payload)
    item_id = decode_id(key, head)
    content_hash = content_hash_of(payload, head) if head.epoch == epoch else b""
    return ItemState(item_id, part, content_hash, chunks_of(item_id, payload, head), head.version)


def _encode_chunks(item: ItemWrite) -> bytes:
    item_id, chunks, count = item.id, item.chunks, len(item.chunks)
    if count == 1 and chunks[0] == item_id and type(chunks[0]) is type(item_id):
        return _OWN_CHUNK
    text = f"{item_id}#"
    if chunks == tuple([f"{text}{ordinal}" for ordinal in range(count)]):
        return _CHUNKS.pack(_NUMBERED, count)
    keys = [id_key(chunk) for chunk in chunks]
    return b"".join((_CHUNKS.pack(_LISTED, count), *(_U16.pack(len(key)) + key for key in keys)))


def _decode_chunks(item_id: RecordId, raw: bytes) -> tuple[RecordId, ...]:
    form, count = _CHUNKS.unpack_from(raw)
    if form == _OWN_ID:
        return (item_id,)
    if form == _NUMBERED:
        return tuple([f"{item_id}#{ordinal}" for ordinal in range(count)])
    found, start = [], _CHUNKS.size
    for _ in range(count):
        (size,) = _U16.unpack_from(raw, start)
        start += 2
        found.append(id_from_key(raw[start : start + size]))
        start += size
    return tuple(found)


# --- parts -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PartRecord:
    """A part: `fingerprint` counts only in its own epoch."""

    epoch: int
    items: int
    fingerprint: str | None
    key: str


def encode_part(part: PartRecord) -> bytes:
    """Value of parts."""
    name = part.key.encode("utf-8", "surrogatepass")
    return encode([part.epoch, part.items, part.fingerprint, name])


@_checked
def decode_part(payload: Bytes) -> PartRecord:
    """Value of parts, decoded."""
    epoch, items, fingerprint, name = _decode(payload)
    return PartRecord(epoch, items, fingerprint, name.decode("utf-8", "surrogatepass"))


# --- identity, counters, failures, runs ------------------------------------------------------------------------------


def encode_identity(identity: PipelineIdentity) -> bytes:
    """Value of the identity in state."""
    return encode(
        {
            "destination": identity.destination,
            "database": str(identity.database),
            "collection": identity.collection,
            "field": identity.field,
            "model": identity.model.to_dict(),
            "chunker": identity.chunker,
            "sources": [source.encode("utf-8", "surrogatepass") for source in identity.sources],
            "options": identity.options,
        }
    )


@_checked
def decode_identity(payload: Bytes) -> PipelineIdentity:
    """The identity in state."""
    stored: dict[str, Any] = _decode(payload)
    stored["database"] = uuid.UUID(stored["database"])
    stored["model"] = ModelFingerprint.from_dict(stored["model"])
    stored["sources"] = tuple(source.decode("utf-8", "surrogatepass") for source in stored["sources"])
    return PipelineIdentity(**stored)


def encode_counters(counters: Counters) -> bytes:
    """Value of the counters in state."""
    return encode(asdict(counters))


@_checked
def decode_counters(payload: Bytes) -> Counters:
    """The counters in state."""
    return Counters(**_decode(payload))


def encode_failure(failure: Failure, run: int) -> bytes:
    """Value of failures, with the run that met it."""
    stored = asdict(failure)
    stored["id"] = None if failure.id is None else id_key(failure.id)
    for word in ("position", "message"):
        stored[word] = stored[word][:MESSAGE_CHARS_MAX]
    for word in ("part", "position", "message"):
        stored[word] = stored[word].encode("utf-8", "surrogatepass")
    return encode([run, stored])


@_checked
def decode_failure(payload: Bytes) -> tuple[int, Failure]:
    """The run that met a failure, and the failure."""
    run, stored = _decode(payload)
    for word in ("part", "position", "message"):
        stored[word] = stored[word].decode("utf-8", "surrogatepass")
    if stored["id"] is not None:
        stored["id"] = id_from_key(stored["id"])
    return run, Failure(**stored)


def encode_run(run: RunRecord) -> bytes:
    """Value of runs."""
    return encode([run.started, run.ended, run.state, run.counters, run.note[:MESSAGE_CHARS_MAX]])


@_checked
def decode_run(number: int, payload: Bytes) -> RunRecord:
    """Value of runs, decoded."""
    started, ended, state, counters, note = _decode(payload)
    return RunRecord(number, started, ended, _run_state(state), counters, note)


def _run_state(word: str) -> RunState:
    if word not in {"running", "done", "stopped", "failed", "interrupted"}:
        raise CorruptionError(f"a run ended in an unknown way ({word}); a newer vecdb may have written it")
    return word  # type: ignore[return-value]
