"""Defines how a source is read: the options that may stand behind `?` in its name, in a file or in a call.

Promises: an unknown option or an ill-formed value is an error that lists what there is.
Concurrency: values.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

from vecdb.errors import InvalidSourceError
from vecdb.ingest.sources.config import SHOWN_CHARS_MAX

Format: TypeAlias = Literal[
    "jsonl", "csv", "tsv", "parquet", "arrow", "text", "markdown", "html", "pdf", "code", "image",
    "npy", "fvecs", "bvecs", "ivecs", "hdf5",
]  # fmt: skip
FORMATS: Final[tuple[str, ...]] = Format.__args__  # type: ignore[attr-defined]

ROW_ID: Final = "@row"
"""`id_field` for tables without one: the id is the name of the file and the number of the row."""

DETECT: Final = "detect"
"""`encoding` to guess what is not UTF-8; it needs charset-normalizer."""

READER_VERSION: Final = 1
"""Part of every fingerprint: files are read again when what the readers make of them changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read a source. None means: as the extension or the content says.

    `id_field`, `text_field`, `vector_field`: where rows have them; what is left becomes metadata. `types`: "infer"
    makes numbers and booleans of the cells of CSV. `include`, `exclude`: patterns of paths below a folder. `prefix`
    stands in front of the ids of files and of rows numbered by them. `hidden`: look into dot files and folders too,
    `ignored`: into what .gitignore leaves out. `ids`: a file with the ids of an array's rows. `query`, `collection`,
    `dataset`: what to read of a database, a vecdb or an HDF5 file. `api_key_env`: the variable with the API key
    of a server. `tls`: the CA that signed its certificate, or "true".
    """

    id_field: str = "id"
    text_field: str = "text"
    vector_field: str | None = None
    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = None
    types: Literal["text", "infer"] = "text"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prefix: str = ""
    hidden: bool = False
    ignored: bool = False
    ids: str | None = None
    query: str | None = None
    collection: str | None = None
    dataset: str | None = None
    api_key_env: str | None = None
    tls: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidSourceError(f"format is {self.format!r:.40}; it is one of {', '.join(FORMATS)}")
        if self.types not in {"text", "infer"}:
            raise InvalidSourceError(f"types is {self.types!r:.40}; it is text or infer")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InvalidSourceError(f"delimiter is {self.delimiter!r:.40}; give one character, as in delimiter=;")
        if not self.id_field or not self.text_field:
            raise InvalidSourceError(f"id-field and text-field name a field; an id of the row number is {ROW_ID}")
        if self.encoding not in {None, DETECT}:
            _check_encoding(str(self.encoding))

    @property
    def fingerprint(self) -> str:
        """Short text that changes with everything that changes what is read."""
        return blake2b(f"{READER_VERSION} {self!r}".encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()

    def name_of(self, place: str) -> str:
        """The name of a source: its place, and those options that make it another source than the place alone."""
        told = ("collection", "dataset", "prefix")
        given = "&".join(f"{name}={getattr(self, name)}" for name in told if getattr(self, name))
        return f"{place}?{given}" if given else place


NAMES: Final = tuple(field.name.replace("_", "-") for field in fields(ReadOptions))


def read_options(given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The arguments of ReadOptions that names (`id-field` or `id_field`) and values, maybe all text, spell."""
    arguments: dict[str, Any] = {}
    for written, value in given.items():
        name = written.replace("-", "_")
        if name.replace("_", "-") not in NAMES:
            raise InvalidSourceError(
                f"{origin} has the unknown option {written!r:.{SHOWN_CHARS_MAX}}; there are {', '.join(NAMES)}"
            )
        arguments[name] = _value_of(name, value)
    return arguments


def _value_of(name: str, value: Any) -> Any:
    if name in {"include", "exclude"}:
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if name in {"hidden", "ignored"} and isinstance(value, str):
        if value not in {"true", "false"}:
            raise InvalidSourceError(f"{name} is {value!r:.{SHOWN_CHARS_MAX}}; write true or false")
        return value == "true"
    if name == "delimiter" and value in {"tab", r"\t"}:
        return "\t"
    return value


def _check_encoding(name: str) -> None:
    try:
        text = codecs.lookup(name)._is_text_encoding  # noqa: SLF001 - "hex" is none
    except (LookupError, ValueError):
        text = False
    if not text:
        raise InvalidSourceError(
            f"encoding is {name!r:.40}, which is none; write for instance utf-8, cp1252 or {DETECT}"
        )
