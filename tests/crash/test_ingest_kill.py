"""Ingestors and servers are killed at random moments while sources change: nothing missing, twice, stale or paid again.

The provider fails by a seeded plan all the while. What was charged is in its account, what is stored is compared with
the sources, and the checkers are themselves tested in `test_ingest_harness`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.harness.ingesting import EMBEDDERS, STOPPED, Place, end_of, place, stop
from tests.harness.library import Library
from tests.harness.paid_provider import FaultPlan, Request, provider, vector_of
from tests.harness.payments import Payments, judge
from tests.harness.process import Worker
from tests.harness.truth import differences
from vecdb.ingest.pipeline.config import CONTROL_TEXT

KILLS_SERVED, KILLS_EMBEDDED = 14, 6
KILLS_SERVED_TORTURE, KILLS_EMBEDDED_TORTURE = 210, 90
ROWS, PAGES = 300, 10
EDITS: Final = (8, 24)
EARLY: Final = 0.2
"""Share of the ingestors that are ended somewhere between their start and their first request."""

EARLY_S, WORK_S = 0.6, 0.4
"""Longest time until then, and from the first request to the end; a run works about as long."""

SERVER_SHARE, STOP_SHARE = 0.3, 0.15
DONE, QUARANTINE = 0, 4
FAULTS: Final = FaultPlan(
    share={
        "rate limit": 0.06,
        "server error": 0.06,
        "hang up": 0.03,
        "cut off": 0.03,
        "too few": 0.02,
        "misnumbered": 0.02,
        "wrong dimension": 0.02,
        "not a number": 0.03,
        "no json": 0.02,
    },
    answer_s=(0.005, 0.06),
)


@dataclass
class Campaign:
    """What a series of kills has seen."""

    rounds: int = 0
    kills: int = 0
    at_work: int = 0
    servers: int = 0
    stops: int = 0
    records: int = 0
    payments: Payments = field(default_factory=Payments)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.servers} of the server) and {self.stops} stops in {self.rounds} rounds, "
            f"{self.at_work} while texts were embedded; {self.records} records at the end, 0 missing, twice or stale; "
            f"{self.payments}"
        )


def kill_repeatedly(base: Path, seed: int, kills: int, *, served: bool) -> Campaign:
    """Change the sources and kill whoever is at work, `kills` times; then run to the end and look at everything."""
    rng, campaign = random.Random(seed), Campaign()
    library = Library(base / "library", seed)
    library.fill(ROWS, PAGES)
    plan = FaultPlan(seed=seed, share=FAULTS.share, answer_s=FAULTS.answer_s)
    with provider(base, plan) as service, place(base, library, service, served=served) as where:
        while campaign.kills < kills:
            _round(where, rng, campaign)
            library.change(rng.randint(*EDITS))
        service.behave(FaultPlan())
        finish(where)
        campaign.records = len(library.expected())
        campaign.payments = judge(ours(service.requests()), where.killed, parallel=EMBEDDERS)
        assert campaign.payments.unexcused == []
        _expect_rest(where)
    return campaign


def _round(where: Place, rng: random.Random, campaign: Campaign) -> None:
    """Start an ingestor, and end its work, or its server's, at some moment."""
    campaign.rounds += 1
    drawn = rng.random()
    with where.start() as worker:
        campaign.at_work += _let_it_work(where, worker, rng)
        if drawn < STOP_SHARE:
            assert stop(worker) in {DONE, QUARANTINE, STOPPED}
            campaign.stops += 1
        elif where.served and drawn < STOP_SHARE + SERVER_SHARE:
            where.kill_server()
            time.sleep(rng.uniform(0, 0.3))
            where.serve()
            campaign.kills, campaign.servers = campaign.kills + 1, campaign.servers + 1
            assert end_of(worker) in {DONE, QUARANTINE}
        else:
            campaign.kills += where.kill(worker)


def _let_it_work(where: Place, worker: Worker, rng: random.Random) -> bool:
    """Wait for a random moment of an ingestor's life; whether it had asked the provider by then and still lived."""
    before = where.provider.asked_bytes()
    if rng.random() < EARLY:
        time.sleep(rng.uniform(0, EARLY_S))
    else:
        while worker.exitcode is None and where.provider.asked_bytes() == before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, WORK_S))
    return worker.exitcode is None and where.provider.asked_bytes() > before


def finish(where: Place) -> None:
    """Run to the end, try again what the provider spoilt, and compare."""
    code = where.run()
    assert code in {DONE, QUARANTINE}
    if code == QUARANTINE:
        assert where.run("retry") == DONE
    with where.collection() as collection:
        assert differences(collection, where.library.expected(), vector_of) == []


def _expect_rest(where: Place) -> None:
    """With nothing changed, nothing is paid or written."""
    before = len(where.provider.requests())
    with where.collection() as collection:
        versions = {record.id: record.version for record in collection.iterate()}
    assert where.run() == DONE
    assert len(where.provider.requests()) == before
    with where.collection() as collection:
        assert {record.id: record.version for record in collection.iterate()} == versions


def ours(requests: Iterable[Request]) -> list[Request]:
    """Requests without the texts that only ask whether the provider is sound."""
    probe = CONTROL_TEXT.partition("{")[0]
    return [request for request in requests if not any(text.startswith(probe) for text in request.texts)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_ingestors_and_servers_leave_a_true_collection_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"ingesting into a server: {kill_repeatedly(artefacts, seed, KILLS_SERVED, served=True)}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_ingestors_leave_a_true_directory_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None]
) -> None:
    report(f"ingesting into a directory: {kill_repeatedly(artefacts, seed, KILLS_EMBEDDED, served=False)}")


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("kills", "served"), [(KILLS_SERVED_TORTURE, True), (KILLS_EMBEDDED_TORTURE, False)])
def test_hundreds_of_kills_leave_a_true_collection_that_was_paid_once(
    artefacts: Path, seed: int, report: Callable[[str], None], kills: int, *, served: bool
) -> None:
    report(f"ingesting, at length: {kill_repeatedly(artefacts, seed, kills, served=served)}")
