"""Sets the Hypothesis profiles and gives every test a generator whose seed is shown when the test fails."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

SEED_BITS = 32

settings.register_profile("default", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("torture", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seed N` repeats a run whose random tests failed; `--fronts all` runs the conformance suite on every server."""
    parser.addoption(
        "--seed", type=int, default=None, help="seed of the `rng` fixture; default: random, shown on failure"
    )
    parser.addoption(
        "--fronts",
        choices=("some", "all"),
        default="some",
        help="servers that each conformance test runs on: one or all",
    )


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test, nor a process that it starts, leaves anything where its user's ingestor remembers things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state-home")))
        yield


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test. It is printed, and pytest shows it with a failure."""
    given: int | None = request.config.getoption("--seed")
    value = random.SystemRandom().getrandbits(SEED_BITS) if given is None else given
    print(f"seed={value} (repeat with --seed {value})")
    return value


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """A generator from `seed`."""
    return np.random.default_rng(seed)
