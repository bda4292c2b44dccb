"""When the supervisor gives up a process that it hears nothing of."""

from __future__ import annotations

import time

import pytest

from vecdb.server.pool import members
from vecdb.server.pool.config import STUCK_S


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> members.Member:
    """A process that was last heard of longer ago than any may be silent; its `status` says when it was killed."""
    member = members.Member("worker-0", {}, control=object(), is_ready=True)  # type: ignore[arg-type]  # any will do
    member.hear()
    now = time.monotonic() + STUCK_S + 1
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(members.Member, "kill", lambda killed: setattr(killed, "status", "killed"))
    return member


def test_a_process_that_is_silent_is_killed(silent: members.Member) -> None:
    silent.check()
    assert silent.status == "killed"


def test_time_in_which_nobody_listened_is_no_silence(silent: members.Member) -> None:
    silent.excuse(5.0)
    silent.check()
    assert silent.status is None
