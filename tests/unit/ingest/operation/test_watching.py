"""A watch: what makes it run again, what it rides out, and what ends it."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vecdb
from vecdb.errors import InvalidConfigError, ModelMismatchError, ProviderUnavailableError, SourceNotFoundError
from vecdb.ingest.operation import watching
from vecdb.ingest.operation.settings import IngestSettings
from vecdb.ingest.operation.watching import Watch, scene_of
from vecdb.ingest.pipeline.events import Retrying, RunEvent
from vecdb.ingest.pipeline.reports import RunReport
from vecdb.ingest.sources.spec import open_source

LONG_AGO = 1_000_000_000
DIM = 4


class Told:
    """An Observer that keeps what it is told of troubles, and may stop the watch at one."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.troubles: list[Retrying] = []
        self._stop = stop

    def observe(self, event: RunEvent) -> None:
        if isinstance(event, Retrying):
            self.troubles.append(event)
            if self._stop is not None:
                self._stop.set()


class Desk:
    """A file of rows and a watch of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = folder / "rows.jsonl"
        self.stop = threading.Event()
        self._changes = 0
        self.write("a", "b")

    def write(self, *ids: str) -> None:
        """Replace the rows; the file looks as if that were long ago, so its state is known at once."""
        self.rows.write_text("".join(json.dumps({"id": one, "text": f"text of {one}"}) + "\n" for one in ids))
        self._changes += 1
        os.utime(self.rows, (LONG_AGO, LONG_AGO + self._changes))

    def settings(self, **given: Any) -> IngestSettings:
        fixed = {"sources": [str(self.rows)], "to": str(self.folder / "data"), "collection": "c"}
        quick = {"state": str(self.folder / "state"), "interval_s": 0.05, "debounce_s": 0.0, "retry_for_s": 0.0}
        return IngestSettings(**{**fixed, **quick, **given})

    def watch(self, told: Told | None = None, **given: Any) -> Iterator[RunReport]:
        return Watch(self.settings(**given), told or Told(), self.stop).rounds()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(watching, "PAUSE_S", 0.01)
    return Desk(tmp_path)


def embed(texts: list[str]) -> list[list[float]]:
    """A model of no meaning."""
    return [[float(len(text)), 1.0, 2.0, 3.0] for text in texts]


embed.dim = DIM  # type: ignore[attr-defined]
FAILURES: list[Exception] = []


def fail_or_embed(texts: list[str]) -> list[list[float]]:
    """A model that fails as often as there is something in FAILURES."""
    if FAILURES:
        raise FAILURES.pop()
    return embed(texts)


fail_or_embed.dim = DIM  # type: ignore[attr-defined]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> str:
    """The model above, by name."""
    FAILURES.clear()
    monkeypatch.setattr(json, "fail_or_embed", fail_or_embed, raising=False)  # a module that can be imported by name
    return "callable:json:fail_or_embed"


def test_a_change_is_a_round_and_no_change_is_none(desk: Desk) -> None:
    rounds = desk.watch()
    assert next(rounds).counts.stored == 2
    desk.write("a")
    report = next(rounds)
    assert (report.counts.deleted, report.counts.unchanged) == (1, 1)
    desk.stop.set()
    assert list(rounds) == []


def test_a_file_that_just_changed_is_looked_at_again_until_it_has_settled(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("new")
    source = open_source(str(tmp_path))
    assert list(scene_of([source]).values()) == [None]
    os.utime(tmp_path / "a.txt", (LONG_AGO, LONG_AGO))
    assert None not in scene_of([source]).values()


def test_sources_that_come_and_go_are_another_scene(tmp_path: Path) -> None:
    scenes = [scene_of([open_source(str(tmp_path))])]
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
        scenes.append(scene_of([open_source(str(tmp_path))]))
    (tmp_path / "a.txt").unlink()
    scenes.append(scene_of([open_source(str(tmp_path))]))
    assert len({tuple(sorted(scene.items())) for scene in scenes}) == len(scenes)


def test_a_source_that_is_not_there_at_first_is_an_error(desk: Desk) -> None:
    desk.rows.unlink()
    with pytest.raises(SourceNotFoundError):
        next(desk.watch())


def test_a_source_that_goes_away_is_waited_for_and_deletes_nothing(desk: Desk) -> None:
    told = Told()
    rounds = desk.watch(told)
    next(rounds)
    desk.rows.unlink()
    mended = threading.Timer(0.3, lambda: desk.write("a", "b", "c"))
    mended.start()
    report = next(rounds)
    mended.join()
    assert "no file or folder" in told.troubles[0].message
    assert (report.counts.deleted, report.counts.new) == (0, 1)


def test_a_provider_that_is_away_ends_no_watch(desk: Desk, model: str) -> None:
    FAILURES.append(ProviderUnavailableError("away"))
    told = Told()
    rounds = desk.watch(told, model=model)
    first = next(rounds)
    assert isinstance(first.error, ProviderUnavailableError)
    assert next(rounds).counts.stored == 2
    assert any(trouble.what == "provider" for trouble in told.troubles)


def test_a_server_that_is_away_is_waited_for(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told = Told(desk.stop)
    assert list(desk.watch(told, to=f"127.0.0.1:{port}")) == []
    assert told.troubles[0].what == "destination"


def test_a_collection_that_was_moved_to_another_model_is_followed(desk: Desk, model: str) -> None:
    rounds = desk.watch()
    next(rounds)
    with vecdb.open(desk.folder / "data") as db:
        db.drop_collection("c")
    assert vecdb.ingest.run(
        desk.rows, to=desk.folder / "data", collection="c", model=model, state=str(desk.folder / "other")
    ).succeeded
    desk.write("z")
    assert next(rounds).error is None
    with vecdb.open(desk.folder / "data", mode="r") as db:
        assert "z" in db.collection("c")


def test_another_model_than_the_named_one_ends_the_watch(desk: Desk, model: str) -> None:
    assert vecdb.ingest.run(
        desk.rows, to=desk.folder / "data", collection="c", model=model, state=str(desk.folder / "other")
    ).succeeded
    with pytest.raises(ModelMismatchError):
        next(desk.watch(model="builtin"))


def test_standard_input_cannot_be_watched(desk: Desk) -> None:
    with pytest.raises(InvalidConfigError, match="ingest run -"):
        Watch(desk.settings(sources=["-?format=csv"]))
