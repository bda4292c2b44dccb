"""Tests the provider for ONNX Runtime with a model of five tokens, whose bytes are written here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecdb.errors import InvalidConfigError, InvalidTextError
from vecdb.ingest.embedders.onnx import OnnxEmbedder
from vecdb.ingest.embedders.opening import open_embedder, open_same

pytest.importorskip("onnxruntime")
tokenizers = pytest.importorskip("tokenizers")

WORDS = {"[UNK]": 0, "[CLS]": 1, "cat": 2, "dog": 3, "[PAD]": 4}
TABLE = np.array([[1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0], [9, 9, 9]], np.float32)

FLOAT, INT64 = 1, 7
"""Types of tensors in ONNX."""


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _field(number: int, value: int | bytes | str) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: int, *axes: str | int) -> bytes:
    shape = b"".join(_field(1, _field(2, axis) if isinstance(axis, str) else _field(1, axis)) for axis in axes)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _model(inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
    """An ONNX model whose states are the rows of TABLE for `input_ids`."""
    gather = _field(1, "table") + _field(1, "input_ids") + _field(2, "last_hidden_state") + _field(4, "Gather")
    table = b"".join(_field(1, size) for size in TABLE.shape)
    table += _field(2, FLOAT) + _field(8, "table") + _field(9, TABLE.tobytes())
    graph = _field(1, gather) + _field(2, "lookup") + _field(5, table)
    graph += b"".join(_field(11, _value(name, INT64, "texts", "tokens")) for name in inputs)
    graph += _field(12, _value("last_hidden_state", FLOAT, "texts", "tokens", TABLE.shape[1]))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


def _tokenizer() -> Any:
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))  # noqa: S106  no password
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.enable_padding(pad_id=4)  # files often say this; it must not count
    return tokenizer


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.onnx").write_bytes(_model())
    _tokenizer().save(str(tmp_path / "tiny" / "tokenizer.json"))
    return tmp_path / "tiny"


def test_a_vector_is_the_mean_over_the_tokens_of_its_text(directory: Path) -> None:
    rows = OnnxEmbedder(directory, normalize=False).embed(["cat", "cat dog dog dog dog", "dog cat"])
    assert rows == pytest.approx(np.array([[1 / 2, 0, 1 / 2], [1 / 6, 4 / 6, 1 / 6], [1 / 3, 1 / 3, 1 / 3]]))


def test_a_vector_can_be_the_state_of_the_first_token(directory: Path) -> None:
    assert OnnxEmbedder(directory, pooling="cls").embed(["cat", "dog cat"]).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_the_pooling_is_read_from_the_files_of_the_model(directory: Path) -> None:
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}), encoding="utf-8")
    assert OnnxEmbedder(directory).embed(["cat"]).tolist() == [[0, 0, 1]]


def test_rows_are_scaled_to_unit_length(directory: Path) -> None:
    assert np.linalg.norm(OnnxEmbedder(directory).embed(["cat", "dog cat"]), axis=1) == pytest.approx([1, 1])


def test_the_first_components_can_be_kept(directory: Path) -> None:
    embedder = OnnxEmbedder(directory, dim=2)
    assert embedder.embed(["cat"]).tolist() == [[1, 0]]
    assert (embedder.fingerprint.dim, embedder.fingerprint.full_dim) == (2, 3)


def test_tokens_beyond_the_window_do_not_count(directory: Path) -> None:
    embedder = OnnxEmbedder(directory, text_tokens=2, normalize=False)
    assert embedder.embed(["cat dog dog"]) == pytest.approx(embedder.embed(["cat"]))
    assert embedder.limits.text_tokens == 2


def test_the_window_is_read_from_the_files_of_the_model(directory: Path) -> None:
    (directory / "config.json").write_text(json.dumps({"max_position_embeddings": 7}), encoding="utf-8")
    assert OnnxEmbedder(directory).limits.text_tokens == 7


def test_tokens_are_counted_by_the_model_s_own_tokenizer(directory: Path) -> None:
    assert OnnxEmbedder(directory).count_tokens(["cat", "cat dog"]) == [2, 3]


def test_many_texts_keep_their_order(directory: Path) -> None:
    texts = ["cat " * (number % 9) + "dog" for number in range(200)]
    embedder = OnnxEmbedder(directory)
    assert embedder.embed(texts) == pytest.approx(np.concatenate([embedder.embed([text]) for text in texts]))


def test_a_changed_model_is_another_model(directory: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(directory, tmp_path / "elsewhere" / "tiny")
    assert OnnxEmbedder(moved).fingerprint == OnnxEmbedder(directory).fingerprint
    (moved / "model.onnx").write_bytes(_model(("input_ids",)))
    assert OnnxEmbedder(moved).fingerprint != OnnxEmbedder(directory).fingerprint


def test_a_stored_fingerprint_opens_the_directory_again(directory: Path) -> None:
    first = open_embedder(f"onnx:{directory}", dim=2, pooling="cls", query_prompt="cat ")
    assert open_same(first.fingerprint, collection="docs").fingerprint == first.fingerprint


def test_no_texts_give_no_rows(directory: Path) -> None:
    assert OnnxEmbedder(directory).embed([]).shape == (0, 3)


def test_an_empty_text_is_an_error(directory: Path) -> None:
    with pytest.raises(InvalidTextError, match="text 1"):
        OnnxEmbedder(directory).embed(["cat", ""])


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_directory_without_its_files_is_an_error(directory: Path, missing: str) -> None:
    (directory / missing).unlink()
    with pytest.raises(InvalidConfigError, match=missing):
        OnnxEmbedder(directory)


@pytest.mark.parametrize("damaged", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_is_an_error(directory: Path, damaged: str) -> None:
    (directory / damaged).write_bytes(b"\x08\x01nonsense")
    with pytest.raises(InvalidConfigError):
        OnnxEmbedder(directory)


def test_a_model_that_wants_more_than_text_is_an_error(directory: Path) -> None:
    (directory / "model.onnx").write_bytes(_model(("input_ids", "pixels")))
    with pytest.raises(InvalidConfigError, match="pixels"):
        OnnxEmbedder(directory)


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"dim": 4}, {"colour": "red"}])
def test_an_option_that_does_not_fit_is_an_error(directory: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError):
        open_embedder(f"onnx:{directory}", **options)
