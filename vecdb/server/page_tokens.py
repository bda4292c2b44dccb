"""Makes page tokens: the engine's cursor, bound to the request that it continues.

A token holds a cursor and a keyed digest of the cursor and of all that must stay the same from page to page (the
collection, the filter, the order). It says nothing that the page before has not said, and whoever holds one can read
nothing with it that he could not read without.
Promises: a token of another request, or one that was changed, is an InvalidRequestError. Tokens outlive the process:
without a secret of its own, a server makes one from the place of its data, the same for all its processes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vecdb.errors import InvalidRequestError
from vecdb.server.config import PAGE_TOKEN_CHARS_MAX

if TYPE_CHECKING:
    from vecdb.server.settings import ServerConfig

DIGEST_BYTES: Final = 16
FREE_TO_CHANGE: Final = ("page_size", "page_token", "with_vectors", "encoding", "min_seq")
"""What may differ from page to page of records."""


class PageTokens:
    """Makes and reads the tokens of one server."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, config: ServerConfig) -> PageTokens:
        """The tokens of a configuration."""
        if config.token_secret is not None:
            return cls(config.token_secret.encode(errors="surrogateescape"))
        place = config.data if config.data == ":memory:" else str(Path(config.data).resolve())
        return cls(hashlib.sha256(b"vecdb page tokens of " + place.encode(errors="surrogateescape")).digest())

    def make(self, cursor: str | None, request: bytes) -> str:
        """The token of a cursor; empty at the end. `request` is what must not change, see `bound`."""
        if cursor is None:
            return ""
        raw = cursor.encode()
        return base64.urlsafe_b64encode(self._digest(raw, request) + raw).decode()

    def read(self, token: str, request: bytes) -> str | None:
        """The cursor of a token; None for the first page."""
        if not token:
            return None
        try:
            raw = base64.b64decode(token[: PAGE_TOKEN_CHARS_MAX + 1], altchars=b"-_", validate=True)
            cursor = raw[DIGEST_BYTES:].decode()
        except ValueError:
            raw, cursor = b"", ""
        # base 64 spells some bytes in several ways: only one of them was given out
        is_as_made = base64.urlsafe_b64encode(raw) == token.encode(errors="replace")
        if (
            len(token) > PAGE_TOKEN_CHARS_MAX
            or not is_as_made
            or not hmac.compare_digest(raw[:DIGEST_BYTES], self._digest(cursor.encode(), request))
        ):
            raise InvalidRequestError(
                "page_token is none that an earlier page of the same request gave; pass it as it came, with the same "
                "collection, filter and order, or leave it out to begin again",
                where="page_token",
            )
        return cursor

    def _digest(self, raw: bytes, request: bytes) -> bytes:
        return hmac.digest(self._secret, len(raw).to_bytes(4, "big") + raw + request, "sha256")[:DIGEST_BYTES]


def bound(message: Any, *left_out: str) -> bytes:
    """What a token is bound to: a request without the fields that may change from page to page."""
    kept = type(message)()
    kept.CopyFrom(message)
    for name in left_out:
        kept.ClearField(name)
    digest: bytes = hashlib.sha256(
        kept.DESCRIPTOR.full_name.encode() + kept.SerializeToString(deterministic=True)
    ).digest()
    return digest
