"""Reads the addresses a server listens on: `host:port`, `[ipv6]:port` or `unix:/path`.

Promises: what is not one of the three is an error that says what to write. An address is local only when no other
machine can reach it: loopback or a socket in the file system.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from vecdb.errors import InvalidConfigError

PORT_MAX = 65_535
UNIX = "unix:"
UNIX_PATH_BYTES_MAX = 107  # of a sockaddr_un on Linux, with its closing zero
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


def parse_address(text: str, origin: str) -> Address:
    """The address that `text` spells; `origin` names the setting in errors."""
    if text.startswith(UNIX):
        return Address(path=_socket_path(text.removeprefix(UNIX), origin))
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidConfigError(f"{origin} is {text!r:.200}: an IPv6 host needs brackets, as in [::1]:50051")
    if not (colon and host and host.isprintable() and " " not in host):
        raise InvalidConfigError(f"{origin} is {text!r:.200}, which is no address; {FORMS}")
    if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
        raise InvalidConfigError(f"{origin} is {text!r:.200}: the port must be a number from 0 to {PORT_MAX}")
    return Address(host=host, port=int(port))


def _socket_path(path: str, origin: str) -> str:
    if path.startswith("//"):
        path = path.removeprefix("//")
    if not path.startswith("/") or not path.isprintable():
        raise InvalidConfigError(f"{origin} is 'unix:{path:.200}': the socket needs an absolute path; {FORMS}")
    if len(os.fsencode(path)) > UNIX_PATH_BYTES_MAX:
        raise InvalidConfigError(f"{origin}: the path of a socket may have {UNIX_PATH_BYTES_MAX} bytes; {path!r:.200}")
    return path


def claim_socket_path(path: str) -> None:
    """Remove the socket that a dead server left behind. A live one, or any other file, is an error."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidConfigError(f"cannot listen on unix:{path}: a file that is no socket is there; remove it")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except OSError as error:
            raise InvalidConfigError(f"cannot listen on unix:{path}: {error.strerror}") from error
    raise InvalidConfigError(f"cannot listen on unix:{path}: another server does; stop it, or choose another path")
