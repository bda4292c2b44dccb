"""Names the effects that plans yield, and what a plan is.

Promises: an effect is data; what it answers is what its docstring says, or a VecDBError is thrown into the plan.
Concurrency: a plan is run by one thread or task.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from vecdb.client.methods import Method

T = TypeVar("T")


class Stream(Protocol):
    """A stream under way, as far as plans know it."""

    def cancel(self) -> None:
        """Give the stream up; harmless when it has ended."""


@dataclass(slots=True)  # not frozen: that takes three times as long to make
class Invoke:
    """Call a method with one message; answers its reply."""

    method: Method[Any]
    request: Any
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a stream; answers a Stream. `request` is None when the requests are a stream, too."""

    method: Method[Any]
    request: Any
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message, or (None) say that there are no more. Answers nothing; what goes wrong, `Receive` tells."""

    stream: Stream
    message: Any


@dataclass(frozen=True, slots=True)
class Receive:
    """Answers the next message of a stream, None at its end."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; answers nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Pull:
    """Answers the next item that the caller provides, in a tuple; an empty tuple at the end."""

    source: Iterator[Any]


Effect: TypeAlias = Invoke | Open | Send | Receive | Sleep | Pull
Plan: TypeAlias = Generator[Effect, Any, T]
