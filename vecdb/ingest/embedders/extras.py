"""Imports the libraries of providers when they are needed, and says what to install when one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from vecdb.errors import MissingExtraError


def required(module: str, *, extra: str, needed_by: str) -> ModuleType:
    """The module; MissingExtraError, which names the extra that brings it, when it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the library is there and one of its own parts is not: its message says more than ours
        raise MissingExtraError(
            f"{needed_by} needs the library {module.partition('.')[0]}: pip install 'vecdb[{extra}]'",
            module=module,
            extra=extra,
        ) from error
