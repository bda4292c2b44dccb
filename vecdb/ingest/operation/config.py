"""Every limit and default of operating the ingestor, with the reason for its value."""

from __future__ import annotations

from typing import Final

READERS_DEFAULT: Final = 1
"""Reading is much cheaper than embedding: one reader keeps several embedders busy."""

WORKERS_MAX: Final = 256
"""Readers and embedders: more threads only wait for each other."""

QUEUE_BYTES_DEFAULT: Final = 64 * 1024 * 1024
QUEUE_BYTES_MIN: Final = 1024 * 1024
QUEUE_BYTES_MAX: Final = 16 * 1024**3
"""What waits between the stages; 64 MiB are some 40,000 chunks with 256 components, seconds of work."""

RETRY_FOR_S: Final = 600.0
"""How long a provider or server is asked again: a restart or a rate limit passes, an outage should be seen."""

CACHE_BYTES_DEFAULT: Final = 8 * 1024**3
CACHE_BYTES_MIN: Final = 16 * 1024 * 1024
CACHE_BYTES_MAX: Final = 1024**4
"""Embeddings kept; 8 GiB are a million of 1,536 components, or eight of the built-in model's."""

INTERVAL_S: Final = 2.0
"""How often `watch` looks at its sources: for files that is one look at each one's size and time."""

DEBOUNCE_S: Final = 1.0
"""How long sources must be quiet before `watch` reads them: editors write several times, checkouts many files."""

SUGGESTION_CUTOFF: Final = 0.6
OPTIONS_MAX: Final = 64
STATE_NAME_CHARS: Final = 40
"""Characters of a collection's name in the name of a pipeline's directory; a hash tells them apart."""
