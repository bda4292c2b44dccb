"""Judges the account of an embedding service: what was paid twice, and whether a kill of the ingestor excuses it.

A text is paid twice when two sound replies had its vector. A kill excuses that for texts of at most `parallel` requests
of the life that it ended: one for each connection, whose reply the ingestor may not have kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
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


def judge(requests: Iterable[Request], kills: Sequence[float], *, parallel: int) -> Payments:
    """Go through an account; `kills` are moments at which the ingestor was dead and the next one not yet started."""
    found, ends = Payments(), sorted(kills)
    paid: dict[str, Request] = {}
    repeated: defaultdict[int, set[int]] = defaultdict(set)
    for request in sorted(requests, key=lambda one: one.at):
        found.charged += len(request.texts) * request.is_charged
        found.spoilt += len(request.texts) * (request.is_charged and not request.is_good)
        for text in request.texts if request.is_good else ():
            earlier = paid.get(text)
            if earlier is not None:
                found.again += 1
                life = bisect_right(ends, earlier.at)
                killed = life < len(ends) and ends[life] < request.at
                repeated[life].add(earlier.number)
                if not killed or len(repeated[life]) > parallel:
                    words = f"{text[:SHOWN_CHARS]!r} in requests {earlier.number} and {request.number}"
                    found.unexcused.append(f"paid twice: {words}")
            paid[text] = request
    found.texts = len(paid)
    return found
