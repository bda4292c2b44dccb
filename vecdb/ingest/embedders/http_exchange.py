"""Posts JSON to one endpoint and gives back the JSON of the reply, or a typed error that says whether to try again.

Promises: the key is read from the environment for each request, sent in one header, and is in no message, repr or log;
redirects are not followed, so it goes to no other host. A reply is read within the time and the bytes given.
408, 409, 425, 429, 5xx, broken connections and timeouts are ProviderUnavailableError (with `retry_after_s` where the
service says it); other statuses ProviderRefusedError; a reply that is no JSON object InvalidEmbeddingError.
Concurrency: any number of threads; each has its own connection, which is kept open between requests.
"""

from __future__ import annotations

import email.utils
import http.client
import ipaddress
import json
import math
import os
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from vecdb.errors import InvalidConfigError, InvalidEmbeddingError, ProviderRefusedError, ProviderUnavailableError
from vecdb.ingest.embedders.config import (
    HTTP_CONNECT_TIMEOUT_S,
    HTTP_MESSAGE_CHARS_MAX,
    HTTP_READ_BYTES,
    HTTP_REPLY_BYTES,
    RETRY_AFTER_MAX_S,
)

RETRYABLE: Final = frozenset({408, 409, 425, 429})
OK: Final = 200
SERVER_ERROR: Final = 500
UNAUTHORIZED: Final = (401, 403)
QUOTA_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes that come with 429 and do not go away by waiting."""

KEY_PATTERN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
CODE_PATTERN: Final = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to post. Only https, or http to this machine, unless `allow_insecure` is said."""

    url: str
    key_env: str
    timeout_s: float
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts.username is not None or parts.query or parts.fragment or not parts.hostname:
            raise InvalidConfigError(
                "the url of the embedding service must be scheme://host[:port][/path], without user, query or "
                f"fragment; the key goes in the environment variable {self.key_env}"
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and (self.allow_insecure or is_loopback(parts))):
            raise InvalidConfigError(
                f"the embedding service is {parts.scheme}://{parts.hostname}: texts and key would travel readable; use "
                "https, or say allow_insecure"
            )
        if not 0 < self.timeout_s < float("inf"):
            raise InvalidConfigError(f"timeout_s is {self.timeout_s!r}; give seconds above 0")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError as error:
        raise InvalidConfigError(
            "the url of the embedding service cannot be read; give scheme://host[:port]"
        ) from error
    return parts


def is_loopback(parts: SplitResult) -> bool:
    """True for a host that is this machine."""
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Exchange:
    """Posts to one endpoint."""

    __slots__ = ("_endpoint", "_kept", "_open", "_path", "_where")

    def __init__(self, endpoint: Endpoint, path: str) -> None:
        self._endpoint = endpoint
        self._where = _split(endpoint.url)
        self._path = self._where.path.rstrip("/") + path
        self._kept = threading.local()
        self._open: list[http.client.HTTPConnection] = []

    def post(self, body: Mapping[str, Any], *, reply_bytes: int) -> dict[str, Any]:
        """The object that comes back; `reply_bytes` is the most that it may have."""
        deadline = time.monotonic() + self._endpoint.timeout_s
        data = json.dumps(body, ensure_ascii=True, separators=(",", ":")).encode("ascii")
        try:
            reply = self._answered(data, deadline)
            content = self._read(reply, reply_bytes if reply.status == OK else HTTP_REPLY_BYTES, deadline)
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise self._unavailable(error) from error
        if reply.will_close:
            self._drop()
        if reply.status != OK:
            raise self._refusal(reply, content)
        return self._parsed(content)

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _answered(self, data: bytes, deadline: float) -> http.client.HTTPResponse:
        """The head of the reply. A kept connection may have been closed since; then a new one is made, once."""
        kept = getattr(self._kept, "connection", None) is not None
        try:
            return self._requested(data, deadline)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            if not kept:
                raise
            self._drop()
        return self._requested(data, deadline)

    def _requested(self, data: bytes, deadline: float) -> http.client.HTTPResponse:
        connection = self._connected()
        _leave(connection, deadline)
        connection.request("POST", self._path, body=data, headers=self._headers())
        return connection.getresponse()

    def _read(self, reply: http.client.HTTPResponse, limit: int, deadline: float) -> bytes:
        connection = self._connected()
        parts, size = [], 0
        while part := reply.read1(HTTP_READ_BYTES):
            size += len(part)
            if size > limit:
                self._drop()
                raise InvalidEmbeddingError(
                    f"{self._name} sent more than {limit:,} bytes, which no reply to this request has", limit=limit
                )
            parts.append(part)
            _leave(connection, deadline)
        if reply.length:  # fewer bytes than announced: read1 does not complain
            raise http.client.IncompleteRead(b"", reply.length)
        reply.close()  # or the connection would think that it is still being read
        return b"".join(parts)

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InvalidEmbeddingError(f"{self._name} sent no JSON, or only a part of it") from error
        if not isinstance(found, dict):
            raise InvalidEmbeddingError(f"{self._name} sent JSON that is no object")
        return found

    def _connected(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._new_connection()
            connection.timeout = min(HTTP_CONNECT_TIMEOUT_S, self._endpoint.timeout_s)
            connection.connect()
            self._kept.connection = connection
            self._open.append(connection)
        return connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._where.hostname or "", self._where.port
        if self._where.scheme == "https":
            return http.client.HTTPSConnection(host, port, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port)

    def _drop(self) -> None:
        connection = getattr(self._kept, "connection", None)
        self._kept.connection = None
        if connection is not None:
            connection.close()
            if connection in self._open:
                self._open.remove(connection)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "vecdb"}
        key = os.environ.get(self._endpoint.key_env, "").strip()
        if key:
            if not KEY_PATTERN.fullmatch(key):
                raise InvalidConfigError(f"the key in {self._endpoint.key_env} has characters that no key has")
            headers["Authorization"] = f"Bearer {key}"
        return headers

    @property
    def _name(self) -> str:
        return f"{self._where.scheme}://{self._where.netloc}{self._path}"

    def _unavailable(self, error: Exception) -> ProviderUnavailableError | ProviderRefusedError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return ProviderRefusedError(
                f"{self._name} shows a certificate that is not trusted ({error.verify_message}); a private authority "
                "is named by the environment variable SSL_CERT_FILE"
            )
        what = "did not answer in time" if isinstance(error, TimeoutError) else f"cannot be reached ({_told(error)})"
        return ProviderUnavailableError(f"{self._name} {what}", cause=type(error).__name__)

    def _refusal(
        self, reply: http.client.HTTPResponse, content: bytes
    ) -> ProviderUnavailableError | ProviderRefusedError:
        code, said = _explained(content, os.environ.get(self._endpoint.key_env, "").strip())
        message = f"{self._name} answered {reply.status}{f' ({said})' if said else ''}"
        facts: dict[str, Any] = {"status": reply.status} | ({"code": code} if code else {})
        if (reply.status in RETRYABLE or reply.status >= SERVER_ERROR) and code not in QUOTA_CODES:
            wait = retry_after_s(reply.headers)
            return ProviderUnavailableError(message, **facts, **({} if wait is None else {"retry_after_s": wait}))
        if reply.status in UNAUTHORIZED:
            message += f"; is the key in the environment variable {self._endpoint.key_env} right?"
        return ProviderRefusedError(message, **facts)


def _told(error: Exception) -> str:
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def _leave(connection: http.client.HTTPConnection, deadline: float) -> None:
    """Let the next operation on the socket take what is left of the time; TimeoutError when nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _explained(content: bytes, key: str) -> tuple[str, str]:
    """The code and the message of an error, as most services send them; empty when there are none. Never the key."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return "", ""
    error = found.get("error", found) if isinstance(found, dict) else {}
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return "", ""
    code, said = str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
    said = said.replace(key, "***") if key else said
    said = "".join(letter for letter in said if letter.isprintable())[:HTTP_MESSAGE_CHARS_MAX]
    return (code if CODE_PATTERN.fullmatch(code) else ""), said


def retry_after_s(headers: Message | Mapping[str, str]) -> float | None:
    """Seconds that a service asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date."""
    milliseconds, given = headers.get("retry-after-ms"), headers.get("retry-after")
    wait = _number(milliseconds, 1e-3)
    if wait is None:
        wait = _number(given, 1.0)
    if wait is None and given:
        try:
            wait = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if wait is None else min(max(wait, 0.0), RETRY_AFTER_MAX_S)


def _number(text: str | None, unit: float) -> float | None:
    try:
        value = float(text) * unit if text else None
    except ValueError:
        return None
    return None if value is None or math.isnan(value) else value
