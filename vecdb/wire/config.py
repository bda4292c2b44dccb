"""The limits of what the wire remembers of requests, each with where it comes from."""

from __future__ import annotations

from typing import Final

OPTIONS_KEPT_MAX: Final = 256
"""Options of searches that a server has read before: clients use a few, over and over."""

OPTIONS_KEPT_BYTES_MAX: Final = 512
"""The longest of them, as bytes: half a megabyte at most, with what all of them came to."""

HEADS_KEPT_MAX: Final = 64
"""Heads of requests that a client keeps for a collection; `min_seq` is a part of one, and grows with each write."""
