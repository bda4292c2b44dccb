"""Tests the providers without a library of their own: functions, precomputed vectors, and how embedders are opened."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecdb.errors import (
    EmbeddingError,
    InvalidConfigError,
    InvalidEmbeddingError,
    InvalidTextError,
    MissingExtraError,
    ModelMismatchError,
    ProviderUnavailableError,
)
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.function import FunctionEmbedder
from vecdb.ingest.embedders.opening import open_embedder, open_same
from vecdb.ingest.embedders.precomputed import PrecomputedEmbedder
from vecdb.ingest.embedders.protocol import Embedder, EmbedderLimits, batches


def lengths(texts: list[str]) -> list[list[float]]:
    """An embedding function: nothing but how long a text is."""
    return [[float(len(text)), 1.0] for text in texts]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with an embedding function, which can be imported in this test."""
    (tmp_path / "embedding_of_test.py").write_text(
        "def lengths(texts):\n    return [[float(len(text)), 1.0] for text in texts]\n"
        "lengths.revision = '7'\nnumber = 1\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "embedding_of_test", raising=False)
    return "embedding_of_test"


# --- batches --------------------------------------------------------------------------------------------------------


def _cut(counts: list[int], texts: int, tokens: int, window: int = 1000) -> list[list[int]]:
    limits = EmbedderLimits(batch_texts=texts, batch_tokens=tokens, text_tokens=window)
    return [counts[part] for part in batches(counts, limits)]


def test_batches_keep_within_texts_and_tokens() -> None:
    assert _cut([1, 1, 1, 5, 5, 1], 2, 100) == [[1, 1], [1, 5], [5, 1]]
    assert _cut([1, 1, 1, 5, 5, 1], 100, 7) == [[1, 1, 1], [5], [5, 1]]


def test_a_text_above_the_limit_has_a_batch_of_its_own() -> None:
    assert _cut([1, 50, 1], 10, 7) == [[1], [50], [1]]


def test_tokens_that_the_model_does_not_read_do_not_count() -> None:
    assert _cut([50, 50], 10, 7, window=3) == [[50, 50]]


def test_no_texts_have_no_batches() -> None:
    assert _cut([], 10, 7) == []


# --- functions ------------------------------------------------------------------------------------------------------


def test_a_function_is_called_by_its_name(module: str) -> None:
    embedder = open_embedder(f"callable:{module}:lengths", normalize=False)
    assert embedder.embed(["abc", "d"]).tolist() == [[3, 1], [1, 1]]
    assert embedder.fingerprint == ModelFingerprint(
        provider="callable", name=f"{module}:lengths", revision="7", dim=2, normalized=False
    )


def test_rows_of_a_function_are_scaled_to_unit_length() -> None:
    assert FunctionEmbedder(lengths).embed(["abc"])[0] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])


def test_a_prompt_is_put_before_what_a_function_gets() -> None:
    embedder = FunctionEmbedder(lengths, normalize=False, query_prompt="ab")
    assert embedder.embed(["x"], role="query").tolist() == [[3, 1]]


@pytest.mark.parametrize(
    "spec", ["callable:os", "callable:no.such:function", "callable::f", "callable:{}:no", "callable:{}:number"]
)
def test_a_function_that_cannot_be_had_is_an_error(spec: str, module: str) -> None:
    with pytest.raises(InvalidConfigError):
        open_embedder(spec.format(module))


@pytest.mark.parametrize(
    "given",
    [
        [[1.0, 2.0]],
        [[1.0]] * 2,
        [[1.0, 2.0], [1.0]],
        [[1.0, float("nan")]] * 2,
        [[0.0, 0.0]] * 2,
        "ab",
        None,
        [1.0, 2.0],
    ],
    ids=["one row", "short", "ragged", "nan", "zero", "text", "nothing", "flat"],
)
def test_what_a_function_gives_is_checked(given: Any) -> None:
    with pytest.raises(InvalidEmbeddingError):
        FunctionEmbedder(lambda _: given, dim=2).embed(["a", "b"])


def test_an_exception_of_a_function_becomes_an_error_of_embedding() -> None:
    def broken(texts: list[str]) -> list[list[float]]:
        raise KeyError(texts[0])

    with pytest.raises(EmbeddingError, match="raised KeyError") as caught:
        FunctionEmbedder(broken, dim=2).embed(["secret text"])
    assert "secret" not in str(caught.value)


def test_a_function_may_say_that_it_is_worth_trying_again() -> None:
    def busy(_: list[str]) -> list[list[float]]:
        raise ProviderUnavailableError("busy", retry_after_s=3.0)

    with pytest.raises(ProviderUnavailableError) as caught:
        FunctionEmbedder(busy, dim=2).embed(["a"])
    assert caught.value.details["retry_after_s"] == 3.0


# --- precomputed vectors --------------------------------------------------------------------------------------------


def test_texts_find_their_precomputed_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, 2], [3, 4]], np.float16))
    (tmp_path / "t.txt").write_text("one\ntwo\n", encoding="utf-8")
    embedder = open_embedder("precomputed:mine", vectors=tmp_path / "v.npy", texts=tmp_path / "t.txt")
    assert embedder.embed(["two", "one", "two"]).tolist() == [[3, 4], [1, 2], [3, 4]]


def test_a_text_without_a_precomputed_vector_is_an_error() -> None:
    embedder = PrecomputedEmbedder("mine", vectors=np.ones((1, 2)), texts=["one"])
    with pytest.raises(InvalidTextError, match="text 1") as caught:
        embedder.embed(["one", "three"])
    assert "three" not in str(caught.value)


def test_vectors_that_come_with_records_are_checked() -> None:
    embedder = PrecomputedEmbedder("mine", dim=2)
    assert embedder.accept([[1, 2]]).tolist() == [[1, 2]]
    for wrong in ([[1, 2, 3]], [[1, float("inf")]]):
        with pytest.raises(InvalidEmbeddingError):
            embedder.accept(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"vectors": np.ones((1, 2))},
        {"vectors": np.ones((2, 2)), "texts": ["a"]},
        {"vectors": np.ones((2, 2)), "texts": ["a", "a"]},
        {"vectors": np.ones(2), "texts": ["a", "b"]},
        {"vectors": np.ones((1, 2)), "texts": ["a"], "dim": 3},
        {"vectors": "/no/such.npy", "texts": ["a"]},
    ],
)
def test_a_table_that_does_not_fit_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError):
        PrecomputedEmbedder("mine", **options)


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", "nothing", "nothing:x", "onnx", "openai:", "builtin:x"])
def test_a_word_that_names_no_model_is_an_error(spec: str) -> None:
    with pytest.raises(InvalidConfigError):
        open_embedder(spec)


@pytest.mark.parametrize("spec", ["builtin", "openai:m", "onnx:/m", "callable:m:f", "precomputed:m", "clip:m"])
def test_an_unknown_option_is_an_error(spec: str) -> None:
    with pytest.raises(InvalidConfigError, match="colour"):
        open_embedder(spec, colour="red")


@pytest.mark.parametrize(
    ("spec", "library", "extra"),
    [
        ("sentence-transformers:m", "sentence_transformers", "sentence-transformers"),
        ("clip:m", "PIL.Image", "clip"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    spec: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'vecdb\[{extra}\]'"):
        open_embedder(spec)


def _opened(module: str) -> list[Embedder]:
    return [
        open_embedder("builtin"),
        open_embedder("openai:m", url="http://localhost:1/v1", dim=3, full_dim=9, query_prompt="q: ", revision="2"),
        open_embedder("openai:m", dim=3, normalize=False),
        open_embedder(f"callable:{module}:lengths", normalize=False, document_prompt="d: "),
        open_embedder("precomputed:mine", dim=3, revision="5"),
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_stored_fingerprint_opens_its_model_again(which: int, module: str) -> None:
    first = _opened(module)[which]
    stored = ModelFingerprint.from_dict(first.fingerprint.to_dict())
    again = open_same(stored, collection="docs")
    assert again.fingerprint == first.fingerprint
    assert again.fingerprint.location == first.fingerprint.location


def test_a_model_that_changed_under_its_name_is_not_opened_as_the_same(module: str) -> None:
    older = ModelFingerprint(provider="callable", name=f"{module}:lengths", revision="6", dim=2)
    with pytest.raises(ModelMismatchError, match="revision '6' against '7'"):
        open_same(older, collection="docs")
