"""Knows which reader reads which file, by extension or by the name of the format.

Not here: what is no file of documents (databases, collections); see `spec`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from vecdb.errors import InvalidSourceError
from vecdb.ingest.sources import arrays
from vecdb.ingest.sources.arrow import read_arrow, read_parquet
from vecdb.ingest.sources.documents import LANGUAGES, read_code, read_html, read_markdown, read_text
from vecdb.ingest.sources.file import SourceFile, extension_of
from vecdb.ingest.sources.image import read_image
from vecdb.ingest.sources.item import Item, Problem
from vecdb.ingest.sources.jsonl import read_jsonl
from vecdb.ingest.sources.pdf import read_pdf
from vecdb.ingest.sources.source import Part
from vecdb.ingest.sources.table import read_csv, read_tsv

Reader: TypeAlias = Callable[[SourceFile], Iterator[Item | Problem]]

READERS: Final[dict[str, Reader]] = {
    "jsonl": read_jsonl, "csv": read_csv, "tsv": read_tsv, "parquet": read_parquet, "arrow": read_arrow,
    "text": read_text, "markdown": read_markdown, "html": read_html, "pdf": read_pdf, "code": read_code,
    "image": read_image, **arrays.READERS,
}  # fmt: skip
STREAMED: Final = ("jsonl", "csv", "tsv", "text", "markdown", "html", "code")
"""Formats that standard input can have."""

DOCUMENTS: Final[dict[str, str]] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".arrows": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".txt": "text", ".text": "text", ".rst": "text", ".log": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf",
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".gif": "image", ".webp": "image", ".bmp": "image",
    **dict.fromkeys(LANGUAGES, "code"),
}  # fmt: skip
"""What is read in a folder. Arrays are not: they are no documents, and are read when they are named themselves."""

ADVICE: Final[dict[str, str]] = {
    ".json": "write one object a line and call it .jsonl (jq -c '.[]' file.json does)",
    ".sqlite": "name a query, as in 'sqlite:FILE?query=SELECT id, text FROM docs'",
    ".sqlite3": "name a query, as in 'sqlite:FILE?query=SELECT id, text FROM docs'",
    ".db": "name a query, as in 'sqlite:FILE?query=SELECT id, text FROM docs'",
    ".npz": "write its arrays as .npy files",
    ".xlsx": "save its sheet as .csv",
    ".docx": "save it as .html or .pdf",
    ".zip": "unpack it and name the folder",
    ".xz": "unpack it, or compress it with gzip",
    ".zst": "unpack it, or compress it with gzip",
    ".bz2": "unpack it, or compress it with gzip",
}


@dataclass(frozen=True, slots=True)
class FilePart:
    """What makes parts of files: their format and how they are read."""

    file: SourceFile
    format: str

    def part(self) -> Part:
        """The file as a part of a source."""
        reader = READERS[self.format]
        file = self.file
        return Part(file.part, file.position(), file.fingerprint, lambda: reader(file), file.digest)


def format_in_folder(path: Path) -> str | None:
    """The format of a file found in a folder; None for what is no document by its extension."""
    return DOCUMENTS.get(extension_of(path))


def format_named(path: Path) -> str:
    """The format of a file that was named itself, by its extension."""
    extension = extension_of(path)
    found = DOCUMENTS.get(extension) or arrays.EXTENSIONS.get(extension)
    if found is not None:
        return found
    advice = ADVICE.get(extension) or f"say what it is, as in '{path.name}?format=text' ({', '.join(READERS)})"
    raise InvalidSourceError(f"{str(path)!r} has no extension that says how to read it; {advice}")
