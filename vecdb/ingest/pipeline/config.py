"""Every limit and default of a run, with the reason for its value."""

from __future__ import annotations

from typing import Final

READERS_DEFAULT: Final = 1
"""Reading is much cheaper than embedding: one reader keeps several embedders busy."""

QUEUE_BYTES_DEFAULT: Final = 64 * 1024 * 1024
"""What waits between the stages; 64 MiB are some 40,000 chunks with 256 components, seconds of work."""

CACHE_BYTES_DEFAULT: Final = 8 * 1024**3
"""Embeddings kept: a million of 1,536 components, or eight million of the built-in model's."""

RETRY_FOR_S: Final = 600.0
"""How long a provider or server is asked again: a restart or a rate limit passes, an outage should be seen."""
