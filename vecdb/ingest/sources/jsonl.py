"""Reads JSON Lines: one object a line, a bad line a problem.

Promises: memory is bounded by LINE_BYTES_MAX. Lines are counted as editors count them, blank ones too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

import msgspec

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import LINE_BYTES_MAX, SHOWN_CHARS_MAX
from vecdb.ingest.sources.decoding import MARK_BYTES, UTF8, mark_of
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.item import Item, Position, Problem
from vecdb.ingest.sources.options import DETECT
from vecdb.ingest.sources.rows import FlatRow, Placed, Row, RowReader

BLOCK_BYTES: Final = 256 * 1024
"""Read at a time; no more than a line may have, so that only those that begin in an earlier block can be too long."""

_decode = msgspec.json.Decoder().decode
_decode_flat = msgspec.json.Decoder(FlatRow).decode


def read_jsonl(file: SourceFile) -> Iterator[Item | Problem]:
    """The items of a file of JSON Lines."""
    with file.open() as stream:
        length, marked = mark_of(cast(io.BufferedReader, stream).peek(MARK_BYTES)[:MARK_BYTES])
        if marked in {None, UTF8} and file.options.encoding in {None, DETECT, UTF8}:
            stream.read(length)
            yield from _items(byte_lines(stream), file)
            return
        with text_stream(stream, file.options.encoding) as text:
            yield from _items(text_lines(text), file)


def byte_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a stream without their ends; None stands for one that is too long. What a pipe has is there at once.

    Many lines come of one look at the stream: a look may let other threads go first.
    """
    read = cast(io.BufferedReader, stream).read1
    begun: list[bytes] = []
    size = 0
    while block := read(min(BLOCK_BYTES, LINE_BYTES_MAX)):
        first, *others = block.split(b"\n")
        size += len(first)
        if size <= LINE_BYTES_MAX:
            begun.append(first)
        if not others:
            continue
        yield b"".join(begun) if size <= LINE_BYTES_MAX else None
        last = others.pop()
        yield from others
        begun, size = [last], len(last)
    if size:
        yield b"".join(begun) if size <= LINE_BYTES_MAX else None


@contextmanager
def text_stream(stream: BinaryIO, encoding: str | None) -> Iterator[io.TextIOWrapper]:
    """The stream as text by its mark, by `encoding` or as UTF-8; bytes that are not UTF-8 become lone surrogates."""
    buffered = cast(io.BufferedReader, stream)  # files, what is unpacked and standard input are
    length, marked = mark_of(buffered.peek(MARK_BYTES)[:MARK_BYTES])
    buffered.read(length)
    chosen = marked or (UTF8 if encoding in {None, DETECT} else encoding) or UTF8
    errors = "surrogateescape" if chosen == UTF8 else "strict"
    text = io.TextIOWrapper(buffered, encoding=chosen, errors=errors, newline="\n")
    try:
        yield text
    finally:
        text.detach()  # it would close the stream, which belongs to the file


def text_lines(text: io.TextIOWrapper) -> Iterator[str | None]:
    """Its lines with their ends; None stands for one that is too long."""
    while True:
        try:
            line = text.readline(LINE_BYTES_MAX)
            cut = _is_cut(line)
            rest = line
            while _is_cut(rest):
                rest = text.readline(LINE_BYTES_MAX)
        except UnicodeDecodeError as error:
            raise InvalidDocumentError(f"is not {error.encoding} from some place on; name its encoding=") from None
        if not line:
            return
        yield None if cut else line


def _is_cut(line: str) -> bool:
    return len(line) == LINE_BYTES_MAX and not line.endswith("\n")


def too_long() -> InvalidDocumentError:
    """The error of a line that is not read."""
    return InvalidDocumentError(f"is longer than {LINE_BYTES_MAX:,} characters")


def jsonl_rows(text: io.TextIOWrapper, file: SourceFile) -> Iterator[Placed]:
    """The rows of JSON Lines with their places."""
    name = file.position().file
    for number, line in enumerate(text_lines(text), start=1):
        if line is None or (line and not line.isspace()):
            yield Position(name, number), too_long() if line is None else _parsed(line)


def _items(lines: Iterator[str | None] | Iterator[bytes | None], file: SourceFile) -> Iterator[Item | Problem]:
    name = file.position().file
    reader = RowReader(file, are_plain=True)
    for number, line in enumerate(lines, start=1):
        position = Position(name, number)
        if line is None:
            yield reader.read(position, too_long())
            continue
        try:
            row = _decode_flat(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):  # it is nested, or wrong, or a blank line
            if line and not line.isspace():
                yield reader.read(position, _parsed(line))
        else:
            yield reader.read_flat(position, row)


def _parsed(line: str | bytes) -> Row | InvalidDocumentError:
    try:
        row = _decode(line)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return InvalidDocumentError(f"is no JSON in UTF-8: {error!s:.{SHOWN_CHARS_MAX}}")
    except RecursionError:
        return InvalidDocumentError("is nested too deeply")
    if not isinstance(row, dict):
        return InvalidDocumentError(f'is a JSON {type(row).__name__}; each line is an object, as in {{"id": …}}')
    return row
