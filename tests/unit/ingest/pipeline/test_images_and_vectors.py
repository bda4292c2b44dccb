"""Items that are no texts: images, and vectors that were made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vecdb
from tests.harness.fake_model import FakeModel, vector_of
from tests.unit.ingest.pipeline.conftest import Pipeline
from vecdb.errors import InvalidConfigError
from vecdb.ingest.embedders.function import FunctionEmbedder
from vecdb.ingest.embedders.protocol import Image
from vecdb.ingest.pipeline import images
from vecdb.ingest.pipeline.opening import choose_embedder
from vecdb.ingest.sources.file import open_regular
from vecdb.ingest.sources.spec import open_source


class BothKinds(FunctionEmbedder):
    """Embeds texts and images; an image's vector is that of the hexadecimal digits of its bytes."""

    def __init__(self) -> None:
        self.model = FakeModel()
        super().__init__(self.model, name="both")
        self.images: list[bytes] = []

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        given = [image for image in images if isinstance(image, bytes)]
        self.images += given
        return np.array([vector_of(image.hex()) for image in given])


def picture(folder: Path, name: str, width: int) -> bytes:
    """A file that begins as a PNG does."""
    size = width.to_bytes(4, "big") + (9).to_bytes(4, "big")
    data = b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IHDR" + size + bytes(9)
    (folder / name).write_bytes(data)
    return data


def vectors(pipeline: Pipeline) -> dict[object, NDArray[np.float32] | None]:
    with vecdb.open(str(pipeline.root / "db"), mode="r") as db:
        return {record.id: record.vector for record in db.collection("docs").iterate(with_vectors=True)}


def test_images_and_texts_are_stored_side_by_side(pipeline: Pipeline) -> None:
    pipeline.write({f"r{number}": f"row {number}" for number in range(20)})
    data = {f"p{number}.png": picture(pipeline.folder, f"p{number}.png", number + 1) for number in range(5)}
    both = BothKinds()
    assert pipeline.run(embedder=both).succeeded
    stored = vectors(pipeline)
    assert len(stored) == 25
    for name, content in data.items():
        row = stored[name]
        assert row is not None
        assert np.abs(row - vector_of(content.hex())).max() < 1e-6


def test_an_image_is_paid_once_though_there_are_copies(pipeline: Pipeline) -> None:
    for name in ("a.png", "b.png"):
        picture(pipeline.folder, name, 3)
    both = BothKinds()
    pipeline.run(embedder=both)
    assert len(both.images) == 1
    assert len(vectors(pipeline)) == 2


def test_an_image_that_changes_while_it_is_read_is_a_failure(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.write({"r": "row"})
    picture(pipeline.folder, "p.png", 3)
    opened = open_regular

    def changed(path: Path) -> object:
        picture(pipeline.folder, "p.png", 4)
        return opened(path)

    monkeypatch.setattr(images, "open_regular", changed)
    report = pipeline.run(embedder=BothKinds())
    assert report.failures == 1
    assert set(vectors(pipeline)) == {"r"}
    monkeypatch.undo()
    assert pipeline.run(embedder=BothKinds()).succeeded


def test_a_vector_of_another_dimension_is_a_failure_with_its_line(pipeline: Pipeline) -> None:
    rows = [{"id": "a", "v": [1.0] * 8}, {"id": "b", "v": [1.0] * 7}, {"id": "c", "v": [0.0] * 7 + [2.0], "text": "t"}]
    path = pipeline.write_text("\n".join(map(json.dumps, rows)), "v.jsonl")
    pipeline.sources = (f"{path}?vector-field=v",)
    job = pipeline.job()
    embedder = choose_embedder(job.destination, job.sources, None)
    assert embedder.fingerprint.dim == 8
    report = pipeline.run(embedder=embedder)
    assert report.failures == 1
    assert set(vectors(pipeline)) == {"a", "c"}


def test_vectors_from_a_pipe_need_a_model_that_is_named(pipeline: Pipeline) -> None:
    source = open_source("-?vector-field=v")
    with pytest.raises(InvalidConfigError, match="precomputed"):
        choose_embedder(pipeline.job().destination, [source], None)


def test_the_collections_own_model_is_taken_where_none_is_named(pipeline: Pipeline) -> None:
    pipeline.write({"r": "row"})
    job = pipeline.job()
    builtin = choose_embedder(job.destination, job.sources, None)
    assert builtin.fingerprint.provider == "builtin"
    pipeline.run(embedder=builtin)
    again = choose_embedder(pipeline.job().destination, job.sources, None)
    assert again.fingerprint == builtin.fingerprint
