"""Limits of the engine alone; those that users meet are in `vecdb.config`."""

from __future__ import annotations

from typing import Final

PREPARED_LIMIT_MAX: Final = 256
"""Largest `limit` whose searches are kept prepared: room for hits and ids, up to 30 kB for each and thread."""

PREPARED_MAX: Final = 32
"""Searches kept prepared for one collection, and for each remembered filter; more of them, and all are made anew."""

NAMED_QUERIES: Final = 64
"""Queries of a batch whose ids are copied by one call of a kernel, and read together."""

REMEMBERED_BYTES: Final = 4_096
"""What a remembered filter takes beside its bitmap, about: the rows it matches, and a search that is prepared."""
