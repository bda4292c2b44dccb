"""Page tokens are taken in the one spelling in which they were given."""

from __future__ import annotations

import string

import pytest

from vecdb.errors import InvalidRequestError
from vecdb.server.page_tokens import PageTokens

LETTERS = string.ascii_letters + string.digits + "-_+/"


@pytest.mark.parametrize("cursor", ["docs", "docs2", "docs23"])
def test_another_spelling_of_the_same_bytes_is_refused(cursor: str) -> None:
    tokens = PageTokens(b"secret")
    token = tokens.make(cursor, b"request")
    assert tokens.read(token, b"request") == cursor
    last = len(token.rstrip("=")) - 1
    for letter in LETTERS.replace(token[last], ""):
        with pytest.raises(InvalidRequestError):
            tokens.read(token[:last] + letter + token[last + 1 :], b"request")
