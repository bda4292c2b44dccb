"""Tells who calls: checks API keys and client certificates against the key file, which may change at any time.

Promises: an unknown key, a wrong secret, an expired key and a malformed one get the same error at the same cost: one
SHA-256 and one comparison in constant time. A key file that turns out broken leaves the keys as they were, and is
logged; one that is gone leaves no keys at all.
Invariants: the secret is never kept, logged or put into an error.
Concurrency: any thread; a change of the file is seen by the next call (one stat for each).
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from vecdb.errors import InvalidConfigError, UnauthenticatedError
from vecdb.server.keyfile import KEY_PATTERN, Key, digest, read_keys
from vecdb.server.principals import Principal

logger = logging.getLogger(__name__)

NO_DIGEST = "0" * 64
"""Compared with where there is no key of the id; no text is known to have this SHA-256."""

REFUSAL = (
    "the call needs a valid API key: give connect() api_key=, "
    "or send metadata 'authorization: Bearer vk_...' or 'x-api-key: vk_...'"
)


class KeyRing:
    """The keys of one file."""

    def __init__(self, path: str) -> None:
        """Read the file. InvalidConfigError when it is missing or broken: a server does not start on that."""
        self._path = path
        self._file = Path(path)
        self._lock = threading.Lock()
        try:
            self._seen = self._look()
            self._keep(read_keys(path))
        except OSError as error:
            advice = "create one with: vecdb keys create"
            raise InvalidConfigError(f"cannot read the key file {path!r}: {error.strerror}; {advice}") from error

    def authenticate(self, key: str) -> Principal:
        """Who presents `key`. UnauthenticatedError with the same text for whatever is wrong with it."""
        self.refresh()
        parts = KEY_PATTERN.fullmatch(key)
        held = self._by_id.get(parts[1]) if parts else None
        is_same = hmac.compare_digest(digest(key), held.sha256 if held else NO_DIGEST)
        return _admit(held if is_same else None)

    def recognise(self, names: Iterable[str]) -> Principal:
        """Who has a client certificate with these names (already verified by TLS)."""
        self.refresh()
        found = {name: self._by_certificate[name] for name in names if name in self._by_certificate}
        return _admit(next(iter(found.values()), None) if len({key.id for key in found.values()}) == 1 else None)

    def holder(self, key_id: str) -> Principal:
        """Who has the key of this id: for calls that another process of the same server has authenticated."""
        self.refresh()
        return _admit(self._by_id.get(key_id))

    def refresh(self) -> None:
        """Read the file again if it changed."""
        if self._look() == self._seen:
            return
        with self._lock:
            seen = self._look()
            if seen == self._seen:
                return
            try:
                self._keep(read_keys(self._path))
            except FileNotFoundError:
                self._keep([])
                logger.critical("the key file %r is gone: no key is valid until it is back", self._path)
            except (InvalidConfigError, OSError) as error:
                logger.critical("the keys stay as they were; the new key file cannot be used: %s", error)
            else:
                logger.info("read the key file %r again: %d keys", self._path, len(self._by_id))
            finally:
                self._seen = seen  # last: until the new keys are there, other calls wait for the lock

    def _keep(self, keys: list[Key]) -> None:
        self._by_id: Mapping[str, Key] = {key.id: key for key in keys}
        self._by_certificate: Mapping[str, Key] = {key.certificate: key for key in keys if key.certificate}

    def _look(self) -> tuple[int, ...]:
        """What tells one content of the file from another; a replaced file has another inode."""
        try:
            status = self._file.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _admit(key: Key | None) -> Principal:
    # wall clock: the expiry of a key is a date that people chose
    if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
        raise UnauthenticatedError(REFUSAL)
    return key.principal
