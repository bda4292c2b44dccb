"""Reads images for a model, and makes sure that they are still those that were found.

Concurrency: pure functions.
"""

from __future__ import annotations

from hashlib import blake2b

from vecdb.errors import InvalidDocumentError
from vecdb.ingest.sources.config import CONTENT_HASH_BYTES, IMAGE_FILE_BYTES_MAX
from vecdb.ingest.sources.file import open_regular
from vecdb.ingest.sources.item import Image


def checked_bytes(image: Image, index: int) -> bytes:
    """The bytes of an image; InvalidDocumentError (with `index`) where they are gone, or others than were read."""
    try:
        with open_regular(image.path) as stream:
            data = stream.read(IMAGE_FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidDocumentError(f"cannot be read any more: {reason}", index=index) from None
    if blake2b(data, digest_size=CONTENT_HASH_BYTES).digest() != image.content_hash:
        raise InvalidDocumentError("was changed while it was read; the next run takes it as it is then", index=index)
    return data
