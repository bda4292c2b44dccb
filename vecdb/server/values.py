"""Reads single values of a configuration, given as text (environment, flags) or as TOML and Python values.

Promises: every error names the setting, the value and what to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from vecdb.config import SECONDS_MAX, SETTING_CHARS_MAX
from vecdb.errors import InvalidConfigError

Kind: TypeAlias = Callable[[Any, str], Any]
"""Takes a raw value and the name of where it was read; returns the value, or raises InvalidConfigError."""

UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
YES = frozenset({"1", "true", "yes", "on"})
NO = frozenset({"0", "false", "no", "off"})


def _wrong(origin: str, value: Any, wanted: str) -> InvalidConfigError:
    return InvalidConfigError(f"{origin} is {value!r:.100}; {wanted}")


def text() -> Kind:
    """Any text that is not empty and has no NUL."""

    def read(value: Any, origin: str) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise _wrong(origin, value, "give a text")
        return value

    return read


def texts() -> Kind:
    """Several texts: a list, or one text with commas between."""

    def read(value: Any, origin: str) -> tuple[str, ...]:
        words = value.split(",") if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not words or not all(isinstance(word, str) for word in words):
            raise _wrong(origin, value, "give one or several texts")
        return tuple(word.strip() for word in words)

    return read


def choice(*known: str) -> Kind:
    """One of `known`."""

    def read(value: Any, origin: str) -> str:
        if value not in known:
            raise _wrong(origin, value, f"choose one of {', '.join(known)}")
        return str(value)

    return read


def yes_or_no() -> Kind:
    """A bool, or true/false, yes/no, on/off, 1/0."""

    def read(value: Any, origin: str) -> bool:
        if isinstance(value, bool):
            return value
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in YES | NO:
            raise _wrong(origin, value, "give true or false")
        return word in YES

    return read


def count(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def read(value: Any, origin: str) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,30}", value.strip()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _wrong(origin, value, f"give a whole number from {low} to {high}")
        return value

    return read


def number_of_bytes(low: int, high: int) -> Kind:
    """A number of bytes, or text with a unit: 64KiB, 32 MiB, 1GiB."""

    def read(value: Any, origin: str) -> int:
        if isinstance(value, str) and len(value) <= SETTING_CHARS_MAX:
            spelled = re.fullmatch(r"([0-9]+)\s*([A-Za-z]*)", value.strip())
            if spelled and spelled[2].lower() in UNITS:
                value = int(spelled[1]) * UNITS[spelled[2].lower()]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _wrong(origin, value, f"give a number of bytes from {low} to {high}, for example 64MiB")
        return value

    return read


def seconds(low: float = 0.0) -> Kind:
    """A number of seconds from `low` to a day."""

    def read(value: Any, origin: str) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not low <= found <= SECONDS_MAX:
            raise _wrong(origin, value, f"give a number of seconds from {low:g} to {SECONDS_MAX:g}")
        return found

    return read
