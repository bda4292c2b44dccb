"""The harness of the ingestor's proofs: a provider that misbehaves as planned, and checkers that find what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vecdb
from tests.harness.library import Library
from tests.harness.paid_provider import (
    CHARGED,
    DIM,
    POISONS,
    UNCHARGED,
    FaultPlan,
    Provider,
    Request,
    provider,
    read_account,
    vector_of,
)
from tests.harness.payments import judge
from tests.harness.truth import differences, kinds
from vecdb.config import EngineConfig
from vecdb.errors import EmbeddingError, ProviderUnavailableError
from vecdb.ingest.embedders.openai import OpenAIEmbedder

# --- the provider ---------------------------------------------------------------------------------------------------


def embedder(service: Provider, **options: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder("paid", url=service.url, **{"dim": DIM, "timeout_s": 20.0, **options})


def outcome(service: Provider, texts: list[str], **options: Any) -> str:
    """How one request ends: "good", or the error."""
    with closing(embedder(service, **options)) as model:
        try:
            assert np.allclose(model.embed(texts), [vector_of(text) for text in texts], atol=1e-6)
        except EmbeddingError as error:
            return type(error).__name__
    return "good"


@pytest.mark.parametrize("fault", [*UNCHARGED, *CHARGED])
def test_each_fault_is_an_error_and_is_charged_as_it_should_be(fault: str, tmp_path: Path) -> None:
    with provider(tmp_path, FaultPlan(share={fault: 1.0}, hang_s=1.0)) as service:
        timeout_s = 0.5 if fault == "hang" else 20.0
        assert outcome(service, ["one", "two"], timeout_s=timeout_s) != "good"
        assert service.charged() == (2 if fault in CHARGED else 0)
        assert [(request.fault, request.texts) for request in service.requests()] == [(fault, ("one", "two"))]


@pytest.mark.parametrize("word", POISONS)
def test_poison_fails_every_request_that_it_is_in_and_no_other(word: str, tmp_path: Path) -> None:
    with provider(tmp_path) as service:
        assert outcome(service, ["sound", f"a {word} text"]) != "good"
        assert outcome(service, [f"a {word} text"]) != "good"
        assert outcome(service, ["sound", "too"]) == "good"


def test_a_rate_limit_says_how_long_to_wait(tmp_path: Path) -> None:
    with provider(tmp_path, FaultPlan(share={"rate limit": 1.0}, retry_after_s=0.25)) as service:
        with closing(embedder(service)) as model, pytest.raises(ProviderUnavailableError) as caught:
            model.embed(["one"])
        assert caught.value.details["retry_after_s"] == 0.25


def test_a_plan_is_the_same_every_time_and_keeps_its_shares() -> None:
    plan = FaultPlan(seed=5, share={"rate limit": 0.2, "not a number": 0.1})
    met = [plan.met_by(number)[0] for number in range(2_000)]
    assert met == [FaultPlan(seed=5, share=plan.share).met_by(number)[0] for number in range(2_000)]
    assert 0.17 < met.count("rate limit") / 2_000 < 0.23
    assert 0.08 < met.count("not a number") / 2_000 < 0.12
    assert met != [FaultPlan(seed=6, share=plan.share).met_by(number)[0] for number in range(2_000)]


def test_the_account_goes_on_after_the_service_was_killed(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with provider(tmp_path) as service:
            assert outcome(service, [text]) == "good"
    assert [(one.number, one.texts) for one in read_account(tmp_path / "account.jsonl")] == [
        (0, ("one",)),
        (1, ("two",)),
    ]


# --- payments ---------------------------------------------------------------------------------------------------------


def paid(number: int, caller: str, *texts: str, fault: str | None = None) -> Request:
    return Request(number, caller, fault, texts)


def test_what_is_paid_once_is_in_order() -> None:
    found = judge([paid(0, "A", "a", "b"), paid(1, "B", "c")], {"A"}, parallel=1)
    assert (found.texts, found.charged, found.again, found.unexcused) == (3, 3, 0, [])


def test_what_is_paid_twice_in_one_life_is_found() -> None:
    assert judge([paid(0, "A", "a"), paid(1, "A", "a")], {"A"}, parallel=4).unexcused
    assert judge([paid(0, "A", "a", "a")], {"A"}, parallel=4).unexcused


def test_a_batch_in_flight_at_a_kill_may_be_paid_again_and_no_more_than_one_for_each_connection() -> None:
    requests = [paid(0, "A", "a"), paid(1, "A", "b"), paid(2, "B", "a"), paid(3, "B", "b")]
    assert judge(requests, {"A"}, parallel=2).unexcused == []
    assert len(judge(requests, {"A"}, parallel=1).unexcused) == 1


def test_only_a_life_that_was_killed_excuses_what_is_paid_again() -> None:
    assert judge([paid(0, "A", "a"), paid(1, "B", "a")], {"B"}, parallel=1).unexcused
    assert judge([paid(0, "A", "a"), paid(1, "B", "a"), paid(2, "C", "a")], {"A"}, parallel=1).unexcused


def test_replies_that_were_spoilt_or_never_charged_are_not_paid_twice() -> None:
    requests = [paid(0, "A", "a", fault="cut off"), paid(1, "A", "a", fault="rate limit"), paid(2, "A", "a")]
    found = judge(requests, set(), parallel=1)
    assert (found.unexcused, found.charged, found.spoilt) == ([], 2, 1)


# --- the truth --------------------------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path, seed: int) -> Library:
    made = Library(tmp_path / "library", seed)
    made.fill(rows=30, pages=3)
    return made


@pytest.fixture
def collection(library: Library) -> Iterator[Any]:
    """A collection that is true to the library."""
    with vecdb.open(":memory:", config=EngineConfig(threads=1, progress=False)) as database:
        made = database.create_collection("docs", dim=DIM)
        expected = library.expected()
        rows = [vector_of(one.text) for one in expected.values()]
        made.upsert(list(expected), rows, [{"text": one.text, **one.metadata} for one in expected.values()])
        yield made


def found(collection: Any, library: Library) -> set[str]:
    """The kinds of problems found."""
    return set(kinds(differences(collection, library.expected(), vector_of)))


def test_a_true_collection_has_no_differences(collection: Any, library: Library) -> None:
    assert found(collection, library) == set()


def test_a_missing_record_is_found(collection: Any, library: Library) -> None:
    collection.delete(ids=[next(iter(library.expected()))])
    assert found(collection, library) == {"missing"}


def test_a_record_that_should_have_gone_is_found(collection: Any, library: Library) -> None:
    collection.upsert(["row-old"], [vector_of("old")], [{"text": "old"}])
    assert found(collection, library) == {"left over"}


def test_a_text_stored_twice_is_found(collection: Any, library: Library) -> None:
    text = next(iter(library.expected().values())).text
    collection.upsert(["other"], [vector_of(text)], [{"text": text}])
    assert found(collection, library) == {"left over", "twice"}


def test_an_old_version_is_found(collection: Any, library: Library) -> None:
    collection.update(next(iter(library.expected())), metadata={"text": "old"})
    assert found(collection, library) == {"stale"}


def test_old_metadata_is_found(collection: Any, library: Library) -> None:
    key, wanted = next((key, one) for key, one in library.expected().items() if one.metadata)
    collection.update(key, metadata={"text": wanted.text, "note": -1})
    assert found(collection, library) == {"wrong metadata"}


def test_the_vector_of_another_text_is_found(collection: Any, library: Library) -> None:
    collection.update(next(iter(library.expected())), vector=vector_of("old"))
    assert found(collection, library) == {"wrong vector"}


def test_a_library_is_on_the_disk_as_it_says_and_changes_with_each_step(library: Library) -> None:
    seen = [library.expected()]
    for _ in range(20):
        library.change(edits=3)
        assert {path.name for path in library.folder.iterdir()} == {*library.rows, *library.pages}
        rows = sum(len((library.folder / name).read_text().splitlines()) for name in library.rows)
        assert rows == sum(map(len, library.rows.values()))
        seen.append(library.expected())
    assert all(before != after for before, after in itertools.pairwise(seen))
