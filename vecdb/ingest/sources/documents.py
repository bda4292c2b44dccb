"""Reads files that are one document each: plain text, Markdown, HTML and source code.

Promises: an item's text is the file's text with newlines as line ends; of Markdown without its front matter, of HTML
what a reader of the page would see of its matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import (
    CODE_FILE_BYTES_MAX,
    FRONT_MATTER_LINES_MAX,
    TEXT_FILE_BYTES_MAX,
    TITLE_CHARS_MAX,
)
from vecdb.ingest.sources.decoding import declared_in_html, decode_text
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.html import page_content
from vecdb.ingest.sources.item import Item, Kind, Problem
from vecdb.ingest.sources.rows import checked_text
from vecdb.types import Metadata

LANGUAGES: Final = {
    ".py": "python", ".pyi": "python", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".hpp": "cpp",
    ".hh": "cpp", ".cs": "csharp", ".go": "go", ".java": "java", ".js": "javascript", ".cjs": "javascript",
    ".mjs": "javascript", ".jsx": "javascript", ".ts": "typescript", ".tsx": "typescript", ".kt": "kotlin",
    ".kts": "kotlin", ".lua": "lua", ".m": "objectivec", ".php": "php", ".pl": "perl", ".pm": "perl", ".r": "r",
    ".rb": "ruby", ".rs": "rust", ".scala": "scala", ".sh": "shell", ".bash": "shell", ".sql": "sql", ".swift": "swift",
    ".zig": "zig", ".jl": "julia", ".ex": "elixir", ".exs": "elixir", ".dart": "dart", ".proto": "protobuf",
    ".css": "css", ".scss": "css", ".vue": "vue", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml",
}  # fmt: skip
"""Languages by extension; the chunker for code looks at the language."""

HEADING: Final = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
PAIR: Final = re.compile(r"([A-Za-z_][\w-]{0,60}):[ \t]+(\S.*)")
FENCE: Final = "---"


def read_text(file: SourceFile) -> Iterator[Item | Problem]:
    """The item that a text file is."""
    yield _item(file, "text", decode_text(file.read(TEXT_FILE_BYTES_MAX), file.options.encoding), {})


def read_markdown(file: SourceFile) -> Iterator[Item | Problem]:
    """The item that a Markdown file is; the title is that of the front matter or the first heading."""
    matter, text = split_front_matter(decode_text(file.read(TEXT_FILE_BYTES_MAX), file.options.encoding))
    heading = HEADING.search(text)
    title = matter.get("title") or (heading[1] if heading else None)
    extra: Metadata = {"title": title[:TITLE_CHARS_MAX]} if title else {}
    yield _item(file, "markdown", text, {**extra, **({"front_matter": matter} if matter else {})})


def read_html(file: SourceFile) -> Iterator[Item | Problem]:
    """The item that a web page is: its main text, and its title."""
    data = file.read(TEXT_FILE_BYTES_MAX)
    page = page_content(decode_text(data, file.options.encoding, declared_in_html(data)))
    yield _item(file, "html", page.text, {"title": page.title[:TITLE_CHARS_MAX]} if page.title else {})


def read_code(file: SourceFile) -> Iterator[Item | Problem]:
    """The item that a file of source code is; an empty one (they are common) is none, and no problem."""
    text = decode_text(file.read(CODE_FILE_BYTES_MAX), file.options.encoding)
    if text.strip():
        language = LANGUAGES.get(file.suffix)
        yield _item(file, "code", text, {"language": language} if language else {})


def split_front_matter(text: str) -> tuple[dict[str, str], str]:
    """The pairs of `key: value` between two lines of `---` at the top, and the text after them."""
    if not text.startswith(FENCE + "\n"):
        return {}, text
    end = text.find("\n" + FENCE + "\n", len(FENCE))
    head = text[: max(end, 0)].split("\n")[1:]
    if end < 0 or len(head) > FRONT_MATTER_LINES_MAX:
        return {}, text
    found = filter(None, map(PAIR.fullmatch, head))
    return {pair[1]: pair[2].strip().strip("\"'") for pair in found}, text[end + len(FENCE) + 2 :]


def _item(file: SourceFile, kind: Kind, text: str, extra: Metadata) -> Item:
    if not text.strip():
        raise InvalidDocumentError("has no text")
    return Item(
        id=file.name,
        part=file.part,
        ordinal=0,
        kind=kind,
        position=file.position(),
        text=checked_text(text),
        metadata={"path": file.name, **extra},
    )
