"""Finds out who makes a call, from its metadata or from the certificate of its connection.

Promises: fail-closed: with a key file or a client CA, a call that shows neither a known key nor a known certificate is
refused, with one text for every reason. In a pool, a worker that has let a call in passes it on to the writer with the
secret of the pool and the id of its principal; what that may do, the writer looks up itself.
Concurrency: any thread.
"""

from __future__ import annotations

import hmac
import os
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from vecdb.config import REQUEST_ID_BYTES_MAX
from vecdb.errors import UnauthenticatedError
from vecdb.server.keyring import REFUSAL, KeyRing
from vecdb.server.principals import EVERYTHING, LOCAL, NOBODY, Principal

if TYPE_CHECKING:
    import grpc

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

MADE_UP_BYTES: Final = 8
_made_up: Final = partial(random.Random(os.urandom(32)).getrandbits, 8 * MADE_UP_BYTES)  # noqa: S311 - names no secret
BEARER: Final = "bearer "
PASS: Final = "x-vecdb-pass"  # noqa: S105 - a name
"""Metadata with the secret of a pool, on calls that its workers pass on."""

PASSED_PRINCIPAL: Final = "x-vecdb-principal"
"""Metadata with the id of the principal of a call that was passed on."""

REQUEST_ID: Final = re.compile(rf"[A-Za-z0-9._:-]{{1,{REQUEST_ID_BYTES_MAX}}}")
CERTIFIED: Final = Principal("certificate", {EVERYTHING: "admin"})
"""Whoever has a certificate of the client CA, when no key file says what each may do."""


class Identity:
    """Who calls, by a key ring (None: no keys are asked for) and client certificates."""

    def __init__(self, keyring: KeyRing | None, *, certificates: bool, pass_secret: str | None = None) -> None:
        self._keyring = keyring
        self._certificates = certificates
        self._pass_secret = pass_secret

    def is_passed_on(self, metadata: Metadata) -> bool:
        """True when a worker of the same pool has let the call in already."""
        if self._pass_secret is None:
            return False
        shown = [_text(value) for name, value in metadata if name == PASS]
        return len(shown) == 1 and hmac.compare_digest(shown[0].encode(), self._pass_secret.encode())

    def from_worker(self, metadata: Metadata) -> Principal:
        """Who made a call that was passed on. UnauthenticatedError when the key has been withdrawn since."""
        named = [_text(value) for name, value in metadata if name == PASSED_PRINCIPAL]
        if len(named) != 1:
            raise UnauthenticatedError(REFUSAL)
        if self._keyring is None:
            return CERTIFIED if named[0] == CERTIFIED.id else LOCAL
        return self._keyring.holder(named[0])

    def from_metadata(self, metadata: Metadata, *, is_public: bool) -> Principal | None:
        """Who the metadata says, or None when the connection must tell."""
        if is_public:
            return NOBODY
        if self._keyring is None:
            return None if self._certificates else LOCAL
        keys = [_spoken(name, value) for name, value in metadata if name in {"authorization", "x-api-key"}]
        if not keys and self._certificates:
            return None
        if len(keys) != 1:
            raise UnauthenticatedError(REFUSAL)
        return self._keyring.authenticate(keys[0])

    def renewed(self, principal: Principal) -> Principal:
        """Who the caller of an open stream is by now. UnauthenticatedError when the key expired or was withdrawn."""
        return principal if self._keyring is None or principal is NOBODY else self._keyring.holder(principal.id)

    def from_connection(self, context: grpc.ServicerContext) -> Principal:
        """Who the connection's certificate names. TLS has verified it."""
        properties: Mapping[str, Sequence[bytes]] = context.auth_context()  # type: ignore[assignment]
        is_tls = properties.get("transport_security_type") == [b"ssl"]
        if self._keyring is None:
            # with a client CA every TCP address asks for a certificate, so this is a Unix-domain socket
            return CERTIFIED if is_tls else LOCAL
        if not is_tls:
            raise UnauthenticatedError(REFUSAL)
        names = [*properties.get("x509_common_name", ()), *properties.get("x509_subject_alternative_name", ())]
        return self._keyring.recognise(name.decode("utf-8", "replace") for name in names)

    @staticmethod
    def request_id(metadata: Metadata) -> str:
        """The client's own name for the call when it has a proper one, else a new one."""
        for name, value in metadata:
            if name == "x-request-id" and isinstance(value, str) and REQUEST_ID.fullmatch(value):
                return value
        return f"{_made_up():0{2 * MADE_UP_BYTES}x}"


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _spoken(name: str, value: str | bytes) -> str:
    text = _text(value)
    if name == "authorization":
        return text[len(BEARER) :].strip() if text[: len(BEARER)].lower() == BEARER else ""
    return text.strip()
