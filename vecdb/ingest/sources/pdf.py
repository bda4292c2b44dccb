"""Reads PDF files page by page; needs pypdf.

Promises: a page that cannot be read is a problem of that page. Pictures of text are not read: such a page has no text.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

from vecdb.errors import InvalidDocumentError, MissingExtraError, VecDBError
from vecdb.ingest.sources.config import PDF_FILE_BYTES_MAX, PDF_PAGES_MAX, SHOWN_CHARS_MAX, TITLE_CHARS_MAX
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Problem
from vecdb.ingest.sources.rows import checked_text
from vecdb.types import Metadata


def read_pdf(file: SourceFile) -> Iterator[Item | Problem]:
    """One item a page; `#page=3` is the end of its id, as in links."""
    reader = _open(file)
    extra = _title(reader)
    ordinal = 0
    for number in range(1, len(reader.pages) + 1):
        place, item_id = file.position(page=number), f"{file.name}#page={number}"
        try:
            text = _page_text(reader, number)
        except VecDBError as error:
            yield Problem(file.part, place, error.message, "item", item_id)
            continue
        metadata = {"path": file.name, "page": number, **extra}
        yield Item(item_id, file.part, ordinal, "pdf", place, text=text, metadata=metadata)
        ordinal += 1


def _open(file: SourceFile) -> Any:
    try:
        import pypdf  # noqa: PLC0415 - only for PDF
    except ImportError:
        raise MissingExtraError("PDF files need pypdf: pip install 'vecdb[ingest]'") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what it says of damage is in our problems, with the file
    data = file.read(PDF_FILE_BYTES_MAX)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = 0 if locked else len(reader.pages)
    except Exception as error:  # noqa: BLE001 - on damaged files pypdf raises whatever its reading runs into
        raise InvalidDocumentError(f"is no PDF, damaged or cut off: {_shown(error)}") from None
    if locked:
        raise InvalidDocumentError("is protected by a password; remove it first")
    if pages > PDF_PAGES_MAX:
        raise InvalidDocumentError(f"has {pages:,} pages; {PDF_PAGES_MAX:,} are the most")
    if not pages:
        raise InvalidDocumentError("has no pages")
    return reader


def _page_text(reader: Any, number: int) -> str:
    try:
        text = reader.pages[number - 1].extract_text()
    except Exception as error:  # noqa: BLE001 - as in _open
        raise InvalidDocumentError(f"cannot be read: {_shown(error)}") from None
    text = text.replace("\x00", "").encode("utf-8", "replace").decode()
    if not text.strip():
        raise InvalidDocumentError("has no text: a scan needs text recognition first")
    return checked_text(text)


def _title(reader: Any) -> Metadata:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001 - as in _open; the pages may still be sound
        title = None
    if not isinstance(title, str) or not title.strip():
        return {}
    return {"title": title.encode("utf-8", "replace").decode()[:TITLE_CHARS_MAX]}


def _shown(error: Exception) -> str:
    return f"{str(error) or type(error).__name__:.{SHOWN_CHARS_MAX}}"
