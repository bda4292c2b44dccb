"""Builds the server's TLS credentials, and renews them when the files change.

Promises: TLS 1.2 or newer (gRPC accepts nothing older). With a client CA, a connection without a certificate of it does
not come about. Certificates renewed on disk count for connections made later, without a restart; files that turn out
broken leave the credentials as they were, and are logged.
Concurrency: gRPC asks `Certificates.renewed` from its own threads.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

import grpc

from vecdb.errors import InvalidConfigError
from vecdb.server.settings import ServerConfig

logger = logging.getLogger(__name__)


class Certificates:
    """The files of a server's certificate, key and client CA."""

    def __init__(self, cert: str, key: str, client_ca: str | None) -> None:
        """Read the files. InvalidConfigError when one is missing or does not fit the others."""
        self._paths = (cert, key) if client_ca is None else (cert, key, client_ca)
        self._lock = threading.Lock()
        self._seen = self._look()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials that follow the files."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self.renewed,  # type: ignore[arg-type]  # None means "no change", as gRPC documents
            require_client_authentication=len(self._paths) > 2,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration when the files changed since the last look, else None."""
        with self._lock:
            seen = self._look()
            if seen == self._seen:
                return None
            self._seen = seen
            try:
                configuration = self._read()
            except InvalidConfigError as error:
                logger.error("the certificates stay as they were: %s", error)  # noqa: TRY400 - the text says it
                return None
            logger.info("read the certificates again")
            return configuration

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(path) for path in self._paths)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        contents = [_content(path) for path in self._paths]
        _check_fit(*self._paths)
        return grpc.ssl_server_certificate_configuration(
            [(contents[1], contents[0])], root_certificates=contents[2] if len(contents) > 2 else None
        )


def certificates(config: ServerConfig) -> Certificates | None:
    """The certificates of a configuration, if it has any."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Certificates(config.tls_cert, config.tls_key, config.tls_client_ca)


def _mark(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidConfigError(f"cannot read {path!r}: {error.strerror}") from error


def _check_fit(cert: str, key: str, client_ca: str | None = None) -> None:
    """Have Python's ssl load the files: gRPC would only fail later, at the first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        raise InvalidConfigError(
            f"tls_cert {cert!r} and tls_key {key!r} are no certificate and its (unencrypted) key"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError) as error:
            raise InvalidConfigError(f"tls_client_ca {client_ca!r} is no certificate in PEM") from error
