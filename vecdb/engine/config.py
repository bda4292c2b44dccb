"""The limits of the engine that nothing outside this package has a use for, each with where it comes from."""

from __future__ import annotations

from typing import Final

RELEASE_STEP_BYTES: Final = 64 * 1024 * 1024
"""Free pages made holes in one go, while writers wait: about 15 ms."""

RELEASE_BYTES_MIN: Final = 8 * 1024 * 1024
RELEASE_SHARE: Final = 0.125
"""Without being asked, room is given back when at least this much is free, and this share of what is in use: what the
next commits would take again stays."""
