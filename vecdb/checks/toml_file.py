"""Reads configuration files, for the server and for the ingestor.

Concurrency: pure functions.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from vecdb.errors import InvalidConfigError


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file holds. InvalidConfigError when it cannot be read, or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidConfigError(f"cannot read the configuration {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidConfigError(f"the configuration {str(path)!r} is no TOML: {error}") from error
