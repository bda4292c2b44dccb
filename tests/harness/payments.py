"""Judges the account of an embedding service: what was paid twice, and whether a kill of the ingestor excuses it.

A text is paid twice when two sound replies had its vector. A kill excuses that for texts of at most `parallel` requests
of the life that it ended: one for each connection, whose reply the ingestor may not have kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.harness.paid_provider import Request

SHOWN_CHARS = 60


@dataclass
class Payments:
    """What the account says. `unexcused` are payments that nobody had to make."""

    texts: int = 0
    charged: int = 0
    spoilt: int = 0
    """Texts of replies that were charged and not sound: lost by the service, not by the ingestor."""

    again: int = 0
    unexcused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.texts} texts, {self.charged} charged ({self.spoilt} in spoilt replies, "
            f"{self.again} again after kills)"
        )


def judge(requests: Iterable[Request], killed: Collection[str], *, parallel: int) -> Payments:
    """Go through an account; `killed` are the callers whose life ended by a kill, at work."""
    found = Payments()
    paid: dict[str, Request] = {}
    repeated: defaultdict[str, set[int]] = defaultdict(set)
    for request in requests:
        found.charged += len(request.texts) * request.is_charged
        found.spoilt += len(request.texts) * (request.is_charged and not request.is_good)
        for text in request.texts if request.is_good else ():
            earlier = paid.get(text)
            if earlier is not None:
                found.again += 1
                repeated[earlier.caller].add(earlier.number)
                excused = earlier.caller in killed and request.caller != earlier.caller
                if not excused or len(repeated[earlier.caller]) > parallel:
                    found.unexcused.append(f"paid twice: {text[:SHOWN_CHARS]!r}, {_told(earlier)} and {_told(request)}")
            paid[text] = request
    found.texts = len(paid)
    return found


def _told(request: Request) -> str:
    return f"in request {request.number} by {request.caller}"
