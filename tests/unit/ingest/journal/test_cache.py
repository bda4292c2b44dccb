"""The cache of embeddings gives back what it was given, of one model, within its size, to all threads."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.journal.given import DIM, MODEL, vectors
from vecdb.errors import ClosedError, DimensionMismatchError, InvalidConfigError, NotADatabaseError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.journal import bundles
from vecdb.ingest.journal.cache import EmbeddingCache, image_key, text_key
from vecdb.ingest.journal.config import CACHE_BYTES_MIN
from vecdb.storage.environment import Environment

WIDE = ModelFingerprint(provider="test", name="wide", dim=1_000)
SMALL = 2 << 20


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    with EmbeddingCache.open(tmp_path / "cache") as opened:
        yield opened


@pytest.fixture
def small(tmp_path: Path) -> Iterator[EmbeddingCache]:
    """A cache with room for about 480 vectors of 1,000 components."""
    with EmbeddingCache.open(tmp_path / "small", max_bytes=SMALL) as opened:
        yield opened


def texts(start: int, stop: int) -> list[str]:
    return [f"text {number}" for number in range(start, stop)]


def put(cache: EmbeddingCache, some: list[str], model: ModelFingerprint = MODEL) -> None:
    cache.put_many(model, *vectors(some, model.dim))


def held(cache: EmbeddingCache, some: list[str], model: ModelFingerprint = MODEL) -> list[bool]:
    """Which texts the cache has; that what it has is right is checked on the way."""
    keys, rows = vectors(some, model.dim)
    found = cache.get_many(model, keys)
    assert all(np.array_equal(one, row) for one, row in zip(found, rows, strict=True) if one is not None)
    assert cache.has_many(model, keys) == [one is not None for one in found]
    return [one is not None for one in found]


def test_vectors_come_back_bit_for_bit_in_the_order_asked_for(cache: EmbeddingCache) -> None:
    keys, rows = vectors(texts(0, 1_000))
    rows[0] = [0.0, -0.0, 1e-45, 3.4e38, -1e-30, 1.5, 2.0, 3.0]
    cache.put_many(MODEL, keys, rows)
    found = cache.get_many(MODEL, keys[::-1])
    assert [None if one is None else one.tobytes() for one in found] == [row.tobytes() for row in rows[::-1]]
    assert {one.dtype for one in found if one is not None} == {np.dtype(np.float32)}


def test_what_is_not_there_is_a_miss(cache: EmbeddingCache) -> None:
    assert held(cache, texts(0, 2)) == [False, False]
    put(cache, texts(0, 1))
    assert held(cache, texts(0, 2)) == [True, False]
    assert cache.get_many(MODEL, []) == []


def test_a_vector_is_kept_across_openings(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache") as cache:
        put(cache, texts(0, 3))
    with EmbeddingCache.open(tmp_path / "cache") as cache:
        assert held(cache, texts(0, 3)) == [True] * 3


@pytest.mark.parametrize(
    "other",
    [
        ModelFingerprint(provider="test", name="model", dim=DIM, revision="2"),
        ModelFingerprint(provider="test", name="model", dim=DIM, document_prompt="passage: "),
        ModelFingerprint(provider="test", name="model", dim=DIM - 1),
    ],
)
def test_another_model_does_not_get_the_vectors(cache: EmbeddingCache, other: ModelFingerprint) -> None:
    put(cache, texts(0, 3))
    assert held(cache, texts(0, 3), other) == [False] * 3
    put(cache, texts(0, 1), other)
    assert held(cache, texts(0, 3), other) == [True, False, False]
    assert held(cache, texts(0, 3)) == [True] * 3


def test_a_text_as_a_document_as_a_query_and_as_an_image_are_three() -> None:
    assert len({text_key("x"), text_key("x", "query"), image_key(b"x"), text_key("y")}) == 4


def test_a_text_that_no_encoding_takes_has_a_key() -> None:
    assert text_key("\ud800") != text_key("\ud801")


def test_vectors_put_again_take_no_more_room(cache: EmbeddingCache) -> None:
    put(cache, texts(0, 500), WIDE)
    before = cache.usage()
    put(cache, texts(0, 500), WIDE)
    assert cache.usage().used_bytes == before.used_bytes
    assert cache.usage().vectors == 500


def test_a_key_given_twice_in_one_call_is_held_once(cache: EmbeddingCache) -> None:
    put(cache, ["x", "x"])
    assert held(cache, ["x"]) == [True]
    assert cache.usage().vectors == 1


def test_vectors_of_another_shape_are_refused(cache: EmbeddingCache) -> None:
    keys, rows = vectors(["x"], DIM + 1)
    with pytest.raises(DimensionMismatchError, match="gives"):
        cache.put_many(MODEL, keys, rows)
    with pytest.raises(DimensionMismatchError):
        cache.put_many(MODEL, [], rows)


def test_other_floats_are_stored_as_float32(cache: EmbeddingCache) -> None:
    keys, rows = vectors(["x", "y"])
    cache.put_many(MODEL, keys, rows.astype(np.float64))
    assert held(cache, ["x", "y"]) == [True, True]


@pytest.mark.parametrize("dim", [1, 255, 1_024, 4_096])
def test_vectors_of_any_dimension_are_kept_and_evicted(tmp_path: Path, dim: int) -> None:
    model = ModelFingerprint(provider="test", name="any", dim=dim)
    with EmbeddingCache.open(tmp_path / "cache", max_bytes=CACHE_BYTES_MIN) as cache:
        for start in range(0, 100, 10):
            put(cache, texts(start, start + 10), model)
        assert held(cache, texts(90, 100), model) == [True] * 10


# --- how large it gets ------------------------------------------------------------------------------------------------


def test_the_oldest_go_when_the_cache_is_full(small: EmbeddingCache) -> None:
    for start in range(0, 2_000, 50):
        put(small, texts(start, start + 50), WIDE)
    usage = small.usage()
    assert usage.used_bytes <= SMALL
    found = held(small, texts(0, 2_000), WIDE)
    assert sum(found) == usage.vectors
    assert usage.vectors * WIDE.dim * 4 > 0.85 * SMALL
    assert not any(found[: 2_000 - usage.vectors])


def test_the_file_stays_near_its_bound_however_much_goes_through(small: EmbeddingCache) -> None:
    for start in range(0, 6_000, 60):
        put(small, texts(start, start + 60), WIDE)
    assert small.usage().file_bytes < 1.5 * SMALL


def test_what_is_used_stays(small: EmbeddingCache) -> None:
    used = texts(0, 20)
    put(small, used, WIDE)
    for start in range(100, 3_000, 25):
        put(small, texts(start, start + 25), WIDE)
        assert held(small, used, WIDE) == [True] * 20
    assert held(small, texts(100, 110), WIDE) == [False] * 10


def test_what_is_used_is_not_moved_while_there_is_room(cache: EmbeddingCache) -> None:
    put(cache, texts(0, 100), WIDE)
    before = cache.usage()
    for _ in range(20):
        held(cache, texts(0, 100), WIDE)
    put(cache, [])
    assert cache.usage().used_bytes == before.used_bytes


def test_what_is_used_is_moved_at_the_latest_when_the_cache_is_closed(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache", max_bytes=SMALL) as cache:
        put(cache, texts(0, 400), WIDE)
        held(cache, texts(0, 5), WIDE)
    with EmbeddingCache.open(tmp_path / "cache", max_bytes=SMALL) as cache:
        put(cache, texts(400, 700), WIDE)
        assert held(cache, texts(0, 6), WIDE) == [True] * 5 + [False]


def test_a_cache_that_was_made_smaller_gets_there_by_and_by(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache") as cache:
        put(cache, texts(0, 3_000), WIDE)
    with EmbeddingCache.open(tmp_path / "cache", max_bytes=CACHE_BYTES_MIN) as cache:
        before = cache.usage().vectors
        put(cache, texts(3_000, 3_001), WIDE)
        after = cache.usage().vectors
        assert before - 600 <= after < before
        for number in range(3_001, 3_010):
            put(cache, texts(number, number + 1), WIDE)
        assert cache.usage().used_bytes <= CACHE_BYTES_MIN


def test_more_than_the_cache_holds_may_be_put_at_once(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache", max_bytes=CACHE_BYTES_MIN) as cache:
        put(cache, texts(0, 1_000), WIDE)
        assert cache.usage().used_bytes <= CACHE_BYTES_MIN


def test_a_cache_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="give at least"):
        EmbeddingCache.open(tmp_path / "cache", max_bytes=10)


# --- who may use it ---------------------------------------------------------------------------------------------------


def test_threads_may_put_and_get_at_once(small: EmbeddingCache) -> None:
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for start in range(first, first + 600, 20):
                put(small, texts(start, start + 20), WIDE)
                for some in (texts(start, start + 20), texts(0, 30)):
                    keys, rows = vectors(some, WIDE.dim)
                    found = small.get_many(WIDE, keys)
                    assert all(one is None or np.array_equal(one, row) for one, row in zip(found, rows, strict=True))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number * 300,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert small.usage().used_bytes <= SMALL


def test_one_process_may_open_a_cache_twice(tmp_path: Path) -> None:
    with EmbeddingCache.open(tmp_path / "cache") as first, EmbeddingCache.open(tmp_path / "cache") as second:
        put(first, texts(0, 5))
        assert held(second, texts(0, 5)) == [True] * 5


def test_a_closed_cache_says_so(tmp_path: Path) -> None:
    cache = EmbeddingCache.open(tmp_path / "cache")
    cache.close()
    cache.close()
    with pytest.raises(ClosedError):
        put(cache, ["x"])


def test_nobody_else_may_read_the_vectors(cache: EmbeddingCache) -> None:
    put(cache, ["x"])
    assert stat.S_IMODE(cache.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.directory.iterdir()} == {0o600}


def test_a_database_is_no_cache(tmp_path: Path) -> None:
    Environment.open_directory(tmp_path / "db").close()
    with pytest.raises(NotADatabaseError, match="no cache of embeddings"):
        EmbeddingCache.open(tmp_path / "db")


# --- bundles ----------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_bundle_costs_its_vectors_and_gives_no_other() -> None:
    keys, rows = vectors(["x", "y"], 3)
    bundle = bundles.encode_bundle(7, keys, rows)
    for place in range(len(bundle)):
        for bit in range(8):
            damaged = bytearray(bundle)
            damaged[place] ^= 1 << bit
            for row in range(2):
                found = bundles.vector_at(memoryview(damaged), row, 7, keys[row], 3)
                assert found is None or np.array_equal(found, rows[row])


def test_a_bundle_gives_no_vector_under_another_key_model_or_row() -> None:
    keys, rows = vectors(["x", "y"], 3)
    view = memoryview(bundles.encode_bundle(7, keys, rows))
    assert bundles.vector_at(view, 1, 7, keys[0], 3) is None
    assert bundles.vector_at(view, 0, 8, keys[0], 3) is None
    assert bundles.vector_at(view, 2, 7, keys[0], 3) is None
    assert bundles.vector_at(view[:20], 0, 7, keys[0], 3) is None
    assert bundles.vector_at(memoryview(b""), 0, 7, keys[0], 3) is None
