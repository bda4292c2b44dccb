"""Reads images: their hash, format and size from the head of the file. Pixels are left to who embeds them.

Promises: nothing of what a camera wrote beside the pixels (place, time, owner) gets into the metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import CONTENT_HASH_BYTES, IMAGE_FILE_BYTES_MAX, IMAGE_HEADER_BYTES, READ_BYTES
from vecdb.ingest.sources.file import SourceFile, open_regular
from vecdb.ingest.sources.item import Image, Item, Problem

Size = tuple[int, int]

JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header, which has the size."""
JPEG_SCAN: Final = 0xDA


def read_image(file: SourceFile) -> Iterator[Item | Problem]:
    """The item that an image file is; `text` is None and `image` says where it is."""
    if file.path is None:
        raise InvalidDocumentError("images are read from files")
    digest, size, head = blake2b(digest_size=CONTENT_HASH_BYTES), 0, b""
    with open_regular(file.path) as stream:
        while piece := stream.read(READ_BYTES):
            head = head or piece[:IMAGE_HEADER_BYTES]
            digest.update(piece)
            size += len(piece)
            if size > IMAGE_FILE_BYTES_MAX:
                raise InvalidDocumentError(f"is larger than {IMAGE_FILE_BYTES_MAX:,} bytes, the most for an image")
    media_type, (width, height) = described(head)
    yield Item(
        id=file.name,
        part=file.part,
        ordinal=0,
        kind="image",
        position=file.position(),
        image=Image(file.path, media_type, digest.digest()),
        metadata={"path": file.name, "format": media_type.partition("/")[2], "width": width, "height": height},
    )


def described(head: bytes) -> tuple[str, Size]:
    """Media type, width and height by the first bytes of an image."""
    for mark, media_type, size_of in FORMATS:
        if head.startswith(mark):
            size = size_of(head)
            if size is None or 0 in size:
                raise InvalidDocumentError(f"begins as {media_type}, and is damaged or cut off")
            return media_type, size
    raise InvalidDocumentError("is no PNG, JPEG, GIF, WebP or BMP image")


def _png(head: bytes) -> Size | None:
    if head[12:16] != b"IHDR" or len(head) < 24:
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(head: bytes) -> Size | None:
    return (int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")) if len(head) >= 10 else None


def _bmp(head: bytes) -> Size | None:
    if len(head) < 26:
        return None
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
    return abs(width), abs(height)


def _jpeg(head: bytes) -> Size | None:
    """Go from segment to segment to the frame header."""
    place = 2
    while place + 9 < len(head):
        if head[place] != 0xFF:
            return None
        marker = head[place + 1]
        if marker in JPEG_FRAMES:
            height, width = (int.from_bytes(head[at : at + 2], "big") for at in (place + 5, place + 7))
            return width, height
        if marker == JPEG_SCAN:
            return None
        if marker == 0xFF:  # filler
            place += 1
        else:
            place += 2 + max(2, int.from_bytes(head[place + 2 : place + 4], "big"))
    return None


def _webp(head: bytes) -> Size | None:
    if head[8:12] != b"WEBP" or len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


FORMATS: Final[tuple[tuple[bytes, str, Callable[[bytes], Size | None]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", _png),
    (b"\xff\xd8\xff", "image/jpeg", _jpeg),
    (b"GIF8", "image/gif", _gif),
    (b"RIFF", "image/webp", _webp),
    (b"BM", "image/bmp", _bmp),
)
