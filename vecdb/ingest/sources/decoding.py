"""Turns bytes into text without guessing wrong: a byte-order mark, what was declared, UTF-8, or an error.

Promises: text never has replacement characters that were not in the file; line ends are newlines. What cannot be
decoded for sure is an InvalidDocumentError with its line.
Concurrency: pure functions.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from vecdb.errors import InvalidDocumentError, MissingExtraError
from vecdb.ingest.sources.options import DETECT

MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARK_BYTES: Final = 4
UTF8: Final = "utf-8"
META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
META_BYTES: Final = 4_096
SAMPLE_BYTES: Final = 64 * 1024


def mark_of(head: bytes) -> tuple[int, str | None]:
    """Length of the byte-order mark that `head` begins with, and the encoding it means; 0 and None without one."""
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return len(mark), encoding
    return 0, None


def declared_in_html(data: bytes) -> str | None:
    """The encoding that a page says it has, if Python knows it."""
    found = META_CHARSET.search(data[:META_BYTES])
    if found is None:
        return None
    name = found[1].decode("ascii")
    try:
        known = codecs.lookup(name).name
    except LookupError:
        return None
    # what pages call Latin-1 is the Windows code page that contains it, and a page in ASCII bytes is not UTF-16
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": UTF8, "utf-16-le": UTF8}.get(known, known)


def decode_text(data: bytes, encoding: str | None = None, declared: str | None = None) -> str:
    """The text that `data` is: by its mark, else `encoding`, else `declared`, else UTF-8."""
    length, marked = mark_of(data)
    chosen = marked or (None if encoding == DETECT else encoding) or declared or UTF8
    try:
        text = data[length:].decode(chosen)
    except UnicodeDecodeError as error:
        if encoding != DETECT or marked:
            raise _undecodable(data, length, error, chosen) from None
        text = data.decode(_detected(data, error))
    except (LookupError, ValueError):
        raise InvalidDocumentError(f"is declared to be {chosen!r:.40}, which is no encoding of text") from None
    if "\x00" in text:
        raise InvalidDocumentError("holds NUL characters, so it is no text; leave the file out")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_sound(text: str) -> bool:
    """False for text with lone surrogates: bytes that were not UTF-8, or escapes that are no characters."""
    try:
        text.encode(UTF8)
    except UnicodeEncodeError:
        return False
    return True


def _detected(data: bytes, failure: UnicodeDecodeError) -> str:
    """The encoding that charset-normalizer is sure of: the text reads like a language in it."""
    try:
        from charset_normalizer import from_bytes  # noqa: PLC0415 - only where it is asked for
    except ImportError:
        raise MissingExtraError(
            "encoding=detect needs charset-normalizer: pip install 'vecdb[ingest]', or name the encoding"
        ) from None
    sample = data[max(0, failure.start - SAMPLE_BYTES // 2) :][:SAMPLE_BYTES]
    best = from_bytes(sample).best()
    if best is None or best.coherence <= 0.0:
        raise _undecodable(data, 0, failure, UTF8)
    try:
        data.decode(best.encoding)
    except UnicodeDecodeError:
        raise _undecodable(data, 0, failure, UTF8) from None
    return best.encoding


def _undecodable(data: bytes, skipped: int, error: UnicodeDecodeError, encoding: str) -> InvalidDocumentError:
    start = error.start + skipped
    line = data.count(b"\n", 0, start) + 1
    return InvalidDocumentError(
        f"is not {encoding}: byte 0x{data[start]:02x} in line {line}; name it (encoding=cp1252, or detect) or convert "
        "the file",
        line=line,
    )
