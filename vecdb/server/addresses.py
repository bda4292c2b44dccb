"""Claims the path of a Unix-domain socket to listen on.

Promises: a live server's socket, or a file of another kind, is never removed.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from vecdb.errors import InvalidConfigError


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
