"""Reads the addresses of servers: `host:port`, `[ipv6]:port` or `unix:/path`.

Promises: what is not one of the three is an error that says what to write. An address is local only when no other
machine can reach it: loopback or a socket in the file system.
Concurrency: pure functions.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass

from vecdb.config import PORT_MAX, UNIX_PATH_BYTES_MAX
from vecdb.errors import InvalidConfigError, InvalidRequestError

UNIX = "unix:"
FORMS = "write HOST:PORT, [IPV6]:PORT or unix:/PATH"


@dataclass(frozen=True, slots=True)
class Address:
    """One address: a path for a Unix-domain socket, else host and port (0: any free port)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """True when no other machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, origin: str, error: type[InvalidRequestError] = InvalidConfigError) -> Address:
    """The address that `text` spells; `origin` names the setting or argument in an `error`."""
    if text.startswith(UNIX):
        return Address(path=_socket_path(text.removeprefix(UNIX), origin, error))
    if "://" in text:
        raise error(f"{origin} is {text!r:.200}: leave out what is before the host; {FORMS}")
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise error(f"{origin} is {text!r:.200}: an IPv6 host needs brackets, as in [::1]:50051")
    if not (colon and host and host.isprintable() and " " not in host):
        raise error(f"{origin} is {text!r:.200}, which is no address; {FORMS}")
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise error(f"{origin} is {text!r:.200}: the port must be a number from 0 to {PORT_MAX}")
    return Address(host=host, port=int(port))


def _socket_path(path: str, origin: str, error: type[InvalidRequestError]) -> str:
    if path.startswith("//"):
        path = path.removeprefix("//")
    if not path.startswith("/") or not path.isprintable():
        raise error(f"{origin} is 'unix:{path:.200}': the socket needs an absolute path; {FORMS}")
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise error(f"{origin}: the path of a socket may have {UNIX_PATH_BYTES_MAX} bytes; {path!r:.200}")
    return path
