"""What a process of a pool watches over."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from vecdb.config import EngineConfig
from vecdb.engine.lifecycle import outdated_pin
from vecdb.server.pool import member

QUIET = EngineConfig(progress=False, background=False, map_bytes=1 << 32)


class GaveUp(BaseException):
    """Stands for the end of the process."""


class Beats:
    """Counts what would go to the supervisor, and ends the loop after enough of it."""

    def __init__(self, most: int) -> None:
        self.count, self._most = 0, most

    def send(self, _event: str) -> None:
        self.count += 1
        if self.count > self._most:
            raise StopIteration


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats every 10 ms, and gives up after 50."""

    def give_up(status: int) -> None:
        assert status == member.FAILED
        raise GaveUp

    monkeypatch.setattr(member, "BEAT_S", 0.01)
    monkeypatch.setattr(member, "PIN_MAX_S", 0.05)
    monkeypatch.setattr("os._exit", give_up)
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *_args, **_options: None)


def _reader_and_writer(folder: Path) -> tuple[Any, Any]:
    writer = vecdb.open(folder / "db", config=QUIET)
    writer.create_collection("docs", dim=4).upsert(["a"], np.ones((1, 4)))
    return vecdb.open(folder / "db", mode="r", config=QUIET), writer


@pytest.mark.usefixtures("quick")
def test_a_worker_that_keeps_an_old_state_gives_itself_up(tmp_path: Path) -> None:
    reader, writer = _reader_and_writer(tmp_path)
    with reader, writer, reader.reading():
        writer.collection("docs").upsert(["b"], np.ones((1, 4)))
        assert outdated_pin(reader) is not None
        with pytest.raises(GaveUp):
            member.beat(Beats(10_000), reader, "worker")  # type: ignore[arg-type]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("part", ["worker", "writer"])
def test_a_process_that_follows_goes_on(tmp_path: Path, part: Any) -> None:
    reader, writer = _reader_and_writer(tmp_path)
    beats, stop = Beats(30), threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            writer.collection("docs").upsert(["b"], np.ones((1, 4)))
            reader.refresh()

    with reader, writer:
        writing = threading.Thread(target=write)
        writing.start()
        with pytest.raises(StopIteration):
            member.beat(beats, reader, part)  # type: ignore[arg-type]
        stop.set()
        writing.join()
    assert beats.count > 30
