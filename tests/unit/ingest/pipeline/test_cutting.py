"""What records items become."""

from __future__ import annotations

import pytest

from tests.harness.fake_model import FakeModel
from vecdb.ingest.chunkers.choosing import CHUNKERS, ItemChunker
from vecdb.ingest.chunkers.chunk import ChunkSize
from vecdb.ingest.pipeline import cutting
from vecdb.ingest.pipeline.cutting import Cutter
from vecdb.ingest.pipeline.records import with_text
from vecdb.ingest.sources.item import Item, Position

TEXTS = [" short ", "x" * 16, "y" * 17, "two words " * 30, "line\n\nline\n", "ends with spaces   "]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chunker", CHUNKERS)
def test_short_rows_are_cut_as_the_chunker_would(text: str, chunker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = Item("r", "p", 0, "row", Position("p"), text=text, metadata={"year": 1})
    cutter = Cutter(ItemChunker(chunker, ChunkSize(tokens=16, overlap=0)), FakeModel().embedder())
    quick = cutter.cut(item)
    monkeypatch.setattr(cutting, "FILLING", frozenset())
    slow = cutter.cut(item)
    assert (quick.ids, quick.metadata, quick.keys, quick.given) == (slow.ids, slow.metadata, slow.keys, slow.given)


@pytest.mark.parametrize("letter", ["a", "é", "日", "😀"])
def test_a_text_that_metadata_cannot_hold_is_stored_in_part(letter: str) -> None:
    stored = with_text({"k": 1}, letter * 60_000, None)
    assert (letter * 60_000).startswith(stored["text"])
    assert 40_000 < len(stored["text"].encode()) <= 48 * 1024
    assert stored["_source"] == {"cut": True}
