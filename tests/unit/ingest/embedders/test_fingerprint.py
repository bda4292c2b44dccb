"""Tests the identity of models: when two are one, what is said when they are not, and how it is stored."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vecdb.errors import InvalidConfigError, ModelMismatchError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint, differences, require_same_model

MODEL = ModelFingerprint(provider="onnx", name="small", revision="abc", dim=384, location="/models/small")

CHANGES: list[dict[str, Any]] = [
    {"provider": "openai"},
    {"name": "large"},
    {"revision": "abd"},
    {"dim": 256},
    {"normalized": False},
    {"full_dim": 768},
    {"document_prompt": "passage: "},
    {"query_prompt": "query: "},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_model_that_differs_in_anything_is_another(change: dict[str, Any]) -> None:
    other = replace(MODEL, **change)
    assert other != MODEL
    assert other.digest() != MODEL.digest()
    assert len(differences(MODEL, other)) == 1
    with pytest.raises(ModelMismatchError):
        require_same_model(MODEL, other, collection="docs")


def test_where_a_model_lies_makes_no_difference() -> None:
    moved = replace(MODEL, location="/elsewhere")
    assert moved == MODEL
    assert moved.digest() == MODEL.digest()
    require_same_model(MODEL, moved, collection="docs")


def test_the_error_says_which_is_which_and_how_to_migrate() -> None:
    given = ModelFingerprint(provider="openai", name="large", dim=1536, full_dim=3072)
    with pytest.raises(ModelMismatchError) as caught:
        require_same_model(MODEL, given, collection="docs")
    message = str(caught.value)
    assert "collection 'docs' holds vectors of onnx:small (revision abc, 384 dimensions, unit length)" in message
    assert "the model given is openai:large (1536 of 3072 dimensions, unit length)" in message
    assert "use --model onnx:/models/small" in message
    assert "vecdb reembed docs --to DIR|HOST:PORT --model openai:large" in message
    assert caught.value.details["stored"]["name"] == "small"


def test_a_digest_is_the_same_on_every_machine() -> None:
    assert MODEL.digest().hex() == "6b64b04a4148d285b4640268b862b6cd"


@pytest.mark.parametrize("model", [MODEL, *(replace(MODEL, **change) for change in CHANGES)], ids=str)
def test_a_stored_fingerprint_comes_back_as_it_was(model: ModelFingerprint) -> None:
    back = ModelFingerprint.from_dict(json.loads(json.dumps(model.to_dict())))
    assert back == model
    assert back.location == model.location


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"provider": "onnx", "name": "small"},
        {"provider": "onnx", "name": "small", "dim": 3, "colour": "red"},
        {"provider": "onnx", "name": "", "dim": 3},
        {"provider": "onnx", "name": 1, "dim": 3},
        {"provider": "onnx", "name": "x" * 1000, "dim": 3},
        {"provider": "onnx", "name": "small", "dim": 0},
        {"provider": "onnx", "name": "small", "dim": True},
        {"provider": "onnx", "name": "small", "dim": 3.0},
        {"provider": "onnx", "name": "small", "dim": 3, "full_dim": 3},
        {"provider": "onnx", "name": "small", "dim": 3, "normalized": 1},
    ],
)
def test_what_is_no_fingerprint_is_an_error(stored: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError):
        ModelFingerprint.from_dict(stored)


def test_the_spec_opens_the_model_where_it_lies() -> None:
    assert MODEL.spec == "onnx:/models/small"
    assert replace(MODEL, location="").spec == "onnx:small"
    assert ModelFingerprint(provider="builtin", name="any", dim=256).spec == "builtin"
