"""Whatever is sent to a server, it answers with a code and a reason, keeps its data sound and does not grow."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import MUTATIONS, SHARES
from tests.fuzz.target import CHOICES, CONVERSATIONS, MIB, PROBLEMS_SHOWN, Target, fuzzed
from tests.unit.server.echo import METHODS
from vecdb._pb.v1 import admin_service_pb2

BATCH = 50
CASES = 5_000
CASES_WORKER = 1_000
CASES_TORTURE = 200_000
GROWTH_MIB = 24
"""What the memory of the server's process may differ by between early and late batches: its caches, still filling in a
short run, and the scatter of its allocator."""

VERIFY = "/vecdb.v1.AdminService/Verify"
NEVER_RIGHT = 0.05

SEEDS = st.integers(0, 2**64 - 1)


def test_every_rpc_has_a_request_that_is_answered_well(tmp_path: Path) -> None:
    assert {path for path, _ in CONVERSATIONS} == set(METHODS)
    with fuzzed(tmp_path) as target:
        wrong = {}
        for number, (path, _) in enumerate(CONVERSATIONS):
            before = target.outcomes["OK"]
            target.run([(number, "none", 0)])
            if target.outcomes["OK"] == before:
                wrong[path] = dict(target.outcomes)
    assert not wrong


def _fuzz(target: Target, cases: int) -> None:
    @settings(
        max_examples=cases // BATCH,
        database=None,
        phases=[Phase.generate],  # what is wrong is told with the bytes that show it, so there is nothing to simplify
        suppress_health_check=list(HealthCheck),
    )
    @given(SEEDS)
    def batches(seed: int) -> None:
        # Drawn one by one from Hypothesis, four cases of five are repetitions: it likes small and equal values.
        random = Random(seed)
        target.run([(random.choice(CHOICES), random.choice(SHARES), random.getrandbits(32)) for _ in range(BATCH)])
        assert not target.problems, "\n".join(target.problems[:PROBLEMS_SHOWN])

    batches()
    _check_what_is_left(target)
    assert target.cases >= cases


def _check_what_is_left(target: Target) -> None:
    report = admin_service_pb2.VerifyResponse.FromString(target.channel.unary_unary(VERIFY)(b"", timeout=60))
    assert not report.problems
    assert report.records > 0
    assert not target.incidents()
    # A fuzz test whose requests are all refused at the door, or all the same, would find nothing.
    assert target.outcomes["OK"] > NEVER_RIGHT * target.cases
    assert len(target.outcomes) > len(MUTATIONS)
    print(f"{target.cases} cases, growth {target.growth / MIB:.1f} MiB, {target.outcomes.most_common()}")
    assert target.growth < GROWTH_MIB * MIB


@pytest.mark.slow
def test_no_request_shows_a_defect(tmp_path: Path) -> None:
    with fuzzed(tmp_path) as target:
        _fuzz(target, CASES)


@pytest.mark.slow
def test_no_request_through_a_worker_shows_a_defect(tmp_path: Path) -> None:
    with fuzzed(tmp_path, through_a_worker=True) as target:
        _fuzz(target, CASES_WORKER)


@pytest.mark.torture
@pytest.mark.timeout(7_200)
def test_none_of_very_many_requests_shows_a_defect(tmp_path: Path) -> None:
    with fuzzed(tmp_path) as target:
        _fuzz(target, CASES_TORTURE)
