"""Every limit and default of operating the ingestor, with the reason for its value."""

from __future__ import annotations

from typing import Final

WORKERS_MAX: Final = 256
"""Readers and embedders: more threads only wait for each other."""

QUEUE_BYTES_MIN: Final = 1024 * 1024
QUEUE_BYTES_MAX: Final = 16 * 1024**3
"""Less than one large document is no room to work in, more than memory has no use."""

CACHE_BYTES_MIN: Final = 16 * 1024 * 1024
CACHE_BYTES_MAX: Final = 1024**4
"""Below it, a cache would throw away what the same run needs again; above it is a typing error."""

INTERVAL_S: Final = 2.0
"""How often `watch` looks at its sources: for files that is one look at each one's size and time."""

DEBOUNCE_S: Final = 1.0
"""How long sources must be quiet before `watch` reads them: editors write several times, checkouts many files."""

SUGGESTION_CUTOFF: Final = 0.6
OPTIONS_MAX: Final = 64
STATE_NAME_CHARS: Final = 40
"""Characters of a collection's name in the name of a pipeline's directory; a hash tells them apart."""

OUTLOOK_SECONDS: Final = 20.0
"""Longest look ahead at how much there is; what takes longer is shown without an end."""

OUTLOOK_BYTES: Final = 64 * 1024 * 1024
"""What is read of a file to count its rows, unpacked; the rest is taken to be like it."""

OUTLOOK_READ_BYTES: Final = 1024 * 1024

RATE_WINDOW_S: Final = 10.0
"""Rates are over this time: short enough to show a provider that got slow, long enough to be read."""

RATE_SAMPLES: Final = 64
"""Counts kept of that time."""

REPORT_INTERVAL_S: Final = 10.0
"""Between two lines of progress where no terminal is: a log of an hour has 360 of them."""

FAILURES_SHOWN: Final = 20
"""Failures shown or logged one by one; the rest is counted, and `failed` has them all."""

PATIENCE: Final = 10
"""`watch` waits so many debounces for sources that never come to rest, as a log that is written all the time."""

SCAN_SHARE: Final = 10
"""`watch` rests ten times as long as looking, or reading what can only be read whole, took: a tenth of the time."""

PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 60.0
"""After a round that failed for now, `watch` waits, twice as long each time."""

PARTS_LISTED: Final = 100
"""Parts logged one by one; a folder has thousands."""

LINES_WAITING: Final = 1_000
"""Lines kept for a reader who is slow."""

LINES_WAIT_S: Final = 2.0
"""How long the end of a run waits for its last lines to be read."""
