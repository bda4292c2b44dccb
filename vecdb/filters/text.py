"""Cuts texts into tokens: runs of letters, digits and underscores, whatever their case.

Concurrency: pure.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")


def tokens(text: str) -> list[str]:
    """Tokens of a text, in order, casefolded."""
    return _WORD.findall(text.casefold())
