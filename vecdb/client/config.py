"""The limits of the client that nothing outside this package has a use for, each with where it comes from."""

from __future__ import annotations

from typing import Final

LARGE_ATTEMPTS_MAX: Final = 5
"""Searches before it is given up that no hit is written to meanwhile: each takes but as long as its records travel."""
