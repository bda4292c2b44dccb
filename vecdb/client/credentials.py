"""Reads what a client trusts and shows: certificates and API keys.

Promises: no secret is in an error or a repr. A key is sent in the clear only to this machine, unless insisted on.
Concurrency: pure functions, but for reading the files.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TypeAlias

import grpc

from vecdb.checks.addresses import Address
from vecdb.errors import InvalidRequestError
from vecdb.types import TLSConfig

TLSLike: TypeAlias = TLSConfig | str | os.PathLike[str] | bool | None


def tls_of(given: object) -> TLSConfig | None:
    """What `tls=` means: a TLSConfig, the path of a CA, True for whom this machine trusts, None or False for no TLS."""
    if given is None or given is False:
        return None
    if given is True:
        return TLSConfig()
    if isinstance(given, TLSConfig):
        return given
    if isinstance(given, (str, os.PathLike)):
        return TLSConfig(ca=given)
    raise InvalidRequestError(
        f"tls is {type(given).__name__}; give True, the path of a CA file, or vecdb.TLSConfig(ca=..., cert=...)"
    )


def channel_credentials(tls: TLSConfig) -> grpc.ChannelCredentials:
    """gRPC's form of it."""
    if (tls.cert is None) != (tls.key is None):
        raise InvalidRequestError("tls has one of cert and key; a client certificate needs both")
    roots = _system_roots() if tls.ca is None else _read("ca", tls.ca)
    if tls.cert is None or tls.key is None:
        return grpc.ssl_channel_credentials(roots)
    return grpc.ssl_channel_credentials(roots, _read("key", tls.key), _read("cert", tls.cert))


def _system_roots() -> bytes | None:
    """Whom this machine trusts; None (those who come with gRPC) where it does not say."""
    paths = ssl.get_default_verify_paths()
    path = Path(paths.cafile or paths.openssl_cafile)
    return path.read_bytes() if path.is_file() else None


def _read(name: str, path: str | os.PathLike[str]) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"tls.{name}: cannot read {os.fspath(path)!r:.200}: {error.strerror}") from error
    if b"-----BEGIN" not in content:
        raise InvalidRequestError(f"tls.{name}: {os.fspath(path)!r:.200} is no PEM file")
    return content


def check_key(api_key: object, address: Address, tls: TLSConfig | None, *, insecure: bool) -> str | None:
    """The API key, when there is one and it may be sent."""
    if api_key is None:
        return None
    if not isinstance(api_key, str) or not api_key or not api_key.isascii() or not api_key.isprintable():
        raise InvalidRequestError("api_key is no key: give the text that `vecdb keys` printed")
    if tls is None and not address.is_local and not insecure:
        raise InvalidRequestError(
            f"api_key would cross the network to {address} in the clear; add tls=, or insist with insecure=True"
        )
    return api_key
