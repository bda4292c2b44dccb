"""Reads, checks and writes the file of API keys.

    {"version": 1, "keys": [{"id": "k3x9q2a7", "name": "loader", "sha256": "…", "grants": {"docs": "write"},
                             "created": "2026-01-01T00:00:00Z", "expires": null, "certificate": null}]}

A key reads `vk_<id>_<secret>`: 256 random bits of secret, of which the file has only the SHA-256.
Promises: a file that others may read, with an unknown entry, or where two keys share an id, a secret or a certificate,
is an error and never half used. A change replaces the file as a whole (written beside, synced, renamed), with mode
0600.
Concurrency: changes from several processes wait for each other (a lock on the directory).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import string
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vecdb.config import KEYS_MAX, NAME_PATTERN
from vecdb.errors import InvalidConfigError
from vecdb.server.config import KEY_FILE_BYTES_MAX, KEY_NAME_CHARS_MAX, KEY_SECRET_BYTES
from vecdb.server.principals import EVERYTHING, SCOPES, Principal, Scope

VERSION: Final = 1
MARK: Final = "vk"
ID_LETTERS: Final = string.ascii_lowercase + string.digits
ID_LENGTH: Final = 8
KEY_PATTERN: Final = re.compile(r"vk_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
DIGEST_PATTERN: Final = re.compile(r"[0-9a-f]{64}")
OWNER_ONLY: Final = 0o600
OTHERS: Final = 0o077


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the file. `certificate` is the name in a client certificate that also stands for it."""

    id: str
    name: str
    sha256: str = field(repr=False)
    grants: dict[str, Scope]
    created: str
    expires: str | None = None
    certificate: str | None = None

    @property
    def principal(self) -> Principal:
        """Who the key stands for."""
        return Principal(self.id, self.grants)

    @property
    def expires_at(self) -> float | None:
        """Seconds since the epoch, or None for never."""
        return None if self.expires is None else datetime.fromisoformat(self.expires).timestamp()


def digest(key: str) -> str:
    """What the file has of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def make_key(
    name: str, grants: dict[str, Scope], *, expires: datetime | None = None, certificate: str | None = None
) -> tuple[Key, str]:
    """A new key, and its text, which is nowhere else."""
    number = "".join(secrets.choice(ID_LETTERS) for _ in range(ID_LENGTH))
    spoken = f"{MARK}_{number}_{secrets.token_urlsafe(KEY_SECRET_BYTES)}"
    key = Key(
        id=number,
        name=name,
        sha256=digest(spoken),
        grants=grants,
        created=spell_time(datetime.now(UTC)),
        expires=None if expires is None else spell_time(expires),
        certificate=certificate,
    )
    return check_key(asdict(key), "the new key"), spoken


def spell_time(moment: datetime) -> str:
    """`moment` as the file has it: in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- reading --------------------------------------------------------------------------------------------------------


def read_keys(path: str) -> list[Key]:
    """All keys of the file. FileNotFoundError when there is none; else InvalidConfigError says what is wrong."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > KEY_FILE_BYTES_MAX:
            raise InvalidConfigError(f"the key file {path!r} is no file of at most {KEY_FILE_BYTES_MAX} bytes")
        if stat.S_IMODE(status.st_mode) & OTHERS:
            raise InvalidConfigError(f"others may read the key file {path!r}; run: chmod 600 {path}")
        content = file.read(KEY_FILE_BYTES_MAX + 1)
    return parse_keys(content, path)


def parse_keys(content: bytes, path: str) -> list[Key]:
    """The keys that `content` spells."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidConfigError(f"the key file {path!r} is no JSON") from error
    if not isinstance(document, dict) or document.get("version") != VERSION or document.keys() != {"version", "keys"}:
        raise InvalidConfigError(f"the key file {path!r} must have version {VERSION} and keys, and nothing else")
    entries = document["keys"]
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise InvalidConfigError(f"the key file {path!r} must have a list of at most {KEYS_MAX} keys")
    keys = [check_key(entry, f"key {number} of {path!r}") for number, entry in enumerate(entries, 1)]
    for attribute in ("id", "sha256", "certificate"):
        values = [getattr(key, attribute) for key in keys if getattr(key, attribute) is not None]
        if len(set(values)) != len(values):
            raise InvalidConfigError(f"two keys of {path!r} have the same {attribute}; each needs its own")
    return keys


def check_key(entry: Any, where: str) -> Key:
    """The key that `entry` of the file spells."""
    known = {word.name for word in fields(Key)}
    if not isinstance(entry, dict) or entry.keys() - known or known - entry.keys() - {"expires", "certificate"}:
        raise InvalidConfigError(f"{where} must have {', '.join(sorted(known))}, and nothing else")
    _demand(_is_text(entry["id"]) and re.fullmatch(f"[a-z0-9]{{{ID_LENGTH}}}", entry["id"]), where, "id", "8 of a-z0-9")
    _demand(_is_text(entry["name"]), where, "name", f"a text of at most {KEY_NAME_CHARS_MAX} characters")
    is_digest = isinstance(entry["sha256"], str) and DIGEST_PATTERN.fullmatch(entry["sha256"])
    _demand(is_digest, where, "sha256", "64 hexadecimal digits")
    _demand(_is_grants(entry["grants"]), where, "grants", 'collections (or "*") with read, write or admin')
    _demand(_is_time(entry["created"]), where, "created", "a time such as 2026-01-31T00:00:00Z")
    expires, certificate = entry.get("expires"), entry.get("certificate")
    _demand(expires is None or _is_time(expires), where, "expires", "null or a time such as 2026-01-31T00:00:00Z")
    _demand(
        certificate is None or (isinstance(certificate, str) and certificate), where, "certificate", "null or a name"
    )
    return Key(**entry)


def _demand(holds: object, where: str, name: str, wanted: str) -> None:
    if not holds:
        raise InvalidConfigError(f"{where}: {name} must be {wanted}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= KEY_NAME_CHARS_MAX


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _is_grants(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(name == EVERYTHING or NAME_PATTERN.fullmatch(name) for name in value)
        and all(isinstance(scope, str) and scope in SCOPES for scope in value.values())
    )


# --- writing --------------------------------------------------------------------------------------------------------


def change_keys(path: str, change: Callable[[list[Key]], list[Key]]) -> None:
    """Replace the keys of the file by `change(keys)`; a missing file has none."""
    directory = str(Path(path).absolute().parent)
    with _locked(directory) as descriptor:
        try:
            keys = read_keys(path)
        except FileNotFoundError:
            keys = []
        document = {"version": VERSION, "keys": [asdict(key) for key in change(keys)]}
        content = json.dumps(document, indent=2).encode() + b"\n"
        parse_keys(content, path)
        _replace(path, content)
        os.fsync(descriptor)


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[int]:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidConfigError(f"cannot write keys in {directory!r}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(path: str, content: bytes) -> None:
    beside = f"{path}.{secrets.token_hex(8)}.tmp"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
