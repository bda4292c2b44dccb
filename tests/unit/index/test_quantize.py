"""Checks the lengths that codes and cosine distances are made with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vecdb.index.quantize import encode_rows, fit_quantizer, inverse_norms


def test_lengths_of_float16_rows_are_computed_wide_enough() -> None:
    vectors: Any = np.full((1, 3), 60_000, dtype=np.float16)
    assert inverse_norms(vectors)[0] == pytest.approx(1 / np.linalg.norm(vectors.astype(np.float64)), rel=1e-6)


def test_a_zero_row_has_no_inverse_length() -> None:
    assert inverse_norms(np.zeros((1, 3), dtype=np.float32)).tolist() == [0.0]


def test_an_inverse_length_is_never_infinite() -> None:
    assert np.isfinite(inverse_norms(np.full((1, 3), 1e-45, dtype=np.float32))).all()


def test_codes_are_the_same_whether_lengths_are_given_or_not(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((200, 24)).astype(np.float32)
    quantizer = fit_quantizer(vectors, "cosine")
    assert (encode_rows(quantizer, vectors) == encode_rows(quantizer, vectors, inverse_norms(vectors))).all()
