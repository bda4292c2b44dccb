"""The limits and times of a pool of processes, each with where it comes from.

They stand apart from `vecdb.config` because nothing outside this package has a use for them.
"""

from __future__ import annotations

from typing import Final

BEAT_S: Final = 1.0
"""How often a process of the pool tells that it is alive; costs one small message."""

STUCK_S: Final = 20.0
"""A process that told nothing for this long is killed and started again: far longer than an overloaded one pauses, and
short, since a stuck reader keeps the writer from using freed pages again."""

HANG_S: Final = 600.0
"""A process that hangs without a supervisor to see it ends itself after this long. Not as soon as STUCK_S: a pause of
all processes (`docker pause`, a stopped machine) looks like a hang to who has no other clock."""

LATE_S: Final = 1.0
"""When the supervisor looks at its processes so much later than it meant to, it was held up itself, by a pause as above
or by a busy machine, and they may have been as well: that time does not count as their silence."""

STARTUP_S: Final = 300.0
"""Longest start of a process: the first on a machine compiles the kernels, a minute or so on a slow core."""

PIN_MAX_S: Final = 300.0
"""A worker that keeps one old state of the database open for this long is started again: until then the pages that were
freed since cannot be used again. Ten times what vecdb's client lets a read take."""

RESTART_MIN_S: Final = 0.1
RESTART_MAX_S: Final = 5.0
"""The wait before a process that died is started again; it doubles each time, up to RESTART_MAX_S."""

HEALTHY_S: Final = 10.0
"""A process that served for this long before it died counts as sound: the waits begin anew."""

WRITER_FAILURES_MAX: Final = 5
"""After so many failures of the writer with less than HEALTHY_S between, the pool stops: the cause does not go away."""

ORPHAN_DRAIN_S: Final = 0.5
"""How long calls under way may take once the supervisor is gone: whoever starts another must find the port free."""

WRITER_DRAIN_MIN_S: Final = 1.0
"""The writer's time to end after the workers have: a commit under way, and closing the file."""

END_S: Final = 5.0
"""How much longer than its drain a process may take to end before it is killed."""

EXIT_POLL_S: Final = 0.01

TICK_S: Final = 0.25
"""How often the supervisor looks at the clock when nothing happens."""

METRICS_WAIT_S: Final = 2.0
"""How long a page of metrics waits for the figures of a process; Prometheus gives up after 10 s."""

RECONNECT_MIN_MS: Final = 100
RECONNECT_MAX_MS: Final = 500
"""Pauses between a worker's attempts to reach a writer that restarts; gRPC's own would grow to two minutes."""

PASSED_SHARE: Final = 0.5
"""Share of a worker's calls that may wait for the writer at once, so that writes that wait never shut out reads."""

OPENED_S: Final = 1.0
"""How long a stream that is passed on may take to be begun, which takes microseconds."""
