r"""Reads paths into metadata: `a.b`, `a[].b` (each element of the list at a), `tags[]`.

A backslash takes the meaning from the character that follows it: `a\.b` is the key "a.b".
Promises: nothing is descended into but dicts by key and, where the path says [], lists.
Concurrency: pure functions; parsed paths are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from vecdb.config import FILTER_PATH_BYTES_MAX
from vecdb.errors import InvalidFilterError

Resolver: TypeAlias = Callable[[Mapping[str, Any]], list[Any]]
"""From metadata to the values at a path: none where it leads nowhere, one, or with [] any number."""

_ABSENT: Final = object()


class Step(NamedTuple):
    """One key of a path; `each`: go on with every element of the list found there."""

    key: str
    each: bool = False


def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path; InvalidFilterError when it is none."""
    if not isinstance(text, str):
        raise InvalidFilterError(f"a path is {type(text).__name__}; give a str such as 'year' or 'a.b'")
    return _parsed(text)


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> tuple[Step, ...]:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidFilterError("a path has a lone surrogate, which no key of metadata has") from None
    if not 1 <= size <= FILTER_PATH_BYTES_MAX:
        raise InvalidFilterError(
            f"path {text!r:.80} takes {size} bytes in UTF-8; it must take 1 to {FILTER_PATH_BYTES_MAX}", path=text[:80]
        )
    steps, key, each, escaped = [], "", False, False
    rest = iter(f"{text}.")
    for character in rest:
        if escaped:
            key, escaped = key + character, False
        elif character == "\\":
            escaped = True
        elif character == ".":
            if not key:
                raise _bad_path(text, "has an empty key")
            steps.append(Step(key, each))
            key, each = "", False
        elif character == "[":
            if next(rest, "") != "]" or each or not key:
                raise _bad_path(text, "has a [ that is not [] at the end of a key")
            each = True
        elif each:
            raise _bad_path(text, "goes on after [] without a dot")
        else:
            key += character
    if escaped or key or each:
        raise _bad_path(text, "ends in a backslash")
    return tuple(steps)


def has_elements(path: str) -> bool:
    """Whether a path goes through the elements of a list, so that it may lead to any number of values."""
    return any(step.each for step in parse_path(path))


@lru_cache(maxsize=1_024)
def resolver(path: str) -> Resolver:
    """The function that finds the values at a path."""
    steps = parse_path(path)
    if len(steps) == 1 and not steps[0].each:
        key = steps[0].key
        return lambda metadata: [metadata[key]] if key in metadata else []
    return lambda metadata: _resolve(metadata, steps)


def _resolve(metadata: Any, steps: tuple[Step, ...]) -> list[Any]:
    values = [metadata]
    for key, each in steps:
        found = [value.get(key, _ABSENT) for value in values if isinstance(value, Mapping)]
        values = [value for value in found if value is not _ABSENT]
        if each:
            values = [element for value in values if isinstance(value, list) for element in value]
    return values


def _bad_path(text: str, problem: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"path {text!r:.80} {problem}; write keys with dots between them, [] after a key whose list's elements are "
        "meant, and a backslash before a dot or bracket that belongs to a key",
        path=text[:80],
    )
