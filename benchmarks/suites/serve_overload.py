"""Sends more calls than a server can answer: at a steady rate over many connections, whatever comes back.

Promises: what is counted is what the clients see; a call takes from its sending to its answer in the client.
Concurrency: one thread sends; answers are counted by gRPC's threads, one lock between them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import grpc

from benchmarks.suites.database import percentiles_ms

CONNECTIONS: Final = 32
DEADLINE_S: Final = 5.0
TICK_S: Final = 0.002
AFTER_S: Final = 10.0
"""How long the last answers may take."""

OK: Final = "OK"
REJECTED: Final = "RESOURCE_EXHAUSTED"


class Tally:
    """What became of the calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0
        self.codes: Counter[str] = Counter()
        self._times: dict[str, list[float]] = {OK: [], REJECTED: []}

    def send(self, method: Any, body: bytes) -> None:
        """Make one call and count its end."""
        self._sent += 1
        begin = time.perf_counter()
        method.future(body, timeout=DEADLINE_S).add_done_callback(partial(self._end, begin))

    def _end(self, begin: float, call: Any) -> None:
        seconds = time.perf_counter() - begin
        code = call.code().name
        with self._lock:
            self.codes[code] += 1
            if code in self._times:
                self._times[code].append(seconds)

    def finish(self, seconds: float) -> dict[str, Any]:
        """Wait for the answers that are still to come, and sum up."""
        until = time.perf_counter() + AFTER_S
        while self.codes.total() < self._sent and time.perf_counter() < until:
            time.sleep(TICK_S)
        with self._lock:
            return {
                "sent": self._sent,
                "seconds": seconds,
                "goodput": self.codes[OK] / seconds,
                "codes": dict(self.codes),
                "unanswered": self._sent - self.codes.total(),
                "answered": percentiles_ms(self._times[OK]),
                "rejected": percentiles_ms(self._times[REJECTED]),
            }


def flood(address: str, method: str, bodies: Sequence[bytes], rate: float, seconds: float) -> dict[str, Any]:
    """Call a method `rate` times a second for `seconds`."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(address, options) for _ in range(CONNECTIONS)]
    methods: list[Any] = [channel.unary_unary(method) for channel in channels]
    tally, sent = Tally(), 0
    begin = time.perf_counter()
    while (taken := time.perf_counter() - begin) < seconds:
        due = int(taken * rate)
        while sent < due and time.perf_counter() - begin < seconds:
            tally.send(methods[sent % CONNECTIONS], bodies[sent % len(bodies)])
            sent += 1
        time.sleep(TICK_S)
    report = tally.finish(taken)
    for channel in channels:
        channel.close()
    return report
