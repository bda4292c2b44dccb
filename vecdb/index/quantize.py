"""Turns vectors into int8 codes whose squared l2 distance orders rows as the metric does.

cosine: rows are normalised. dot: rows are augmented by sqrt(R^2 - |x|^2), spread over extra dimensions, so that all
have norm R (Bachrach et al., 2014). l2: rows are centred on the mean. One symmetric scale for all components.

Promises: codes are deterministic; components beyond the scale saturate at +-127 and are counted, never wrapped.
Invariants: a code row is `padded` bytes, a multiple of 64; unused bytes are zero.
Concurrency: immutable; pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from vecdb.config import FIT_ROWS_MAX
from vecdb.kernels.column import ALIGNMENT, aligned_zeros
from vecdb.types import FloatArray, Metric

CODE_MAX: Final = 127
SCALE_QUANTILE: Final = 0.9999
"""Share of components that must not saturate. The tail beyond it would cost all others resolution."""

AUGMENTED_DIMS: Final = 32
"""Dimensions the dot augmentation is spread over: one int8 could not hold it beside ordinary components."""

ENCODE_ROWS: Final = 4_096
"""Rows encoded at a time, so that the float64 temporaries stay in the cache."""

Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Quantizer:
    """How vectors of one field of a segment become codes: `code = rint((x - center) / scale)`.

    `radius` is R of the dot augmentation (0 otherwise); `center` (dim,) float32 is zero except for l2.
    """

    metric: Metric
    dim: int
    padded: int
    scale: float
    radius: float
    center: FloatArray

    @property
    def augmented(self) -> int:
        """First component of the dot augmentation in a code row; 0 when there is none."""
        return self.dim if self.metric == "dot" else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values (str, int, float, bytes) that any serialiser can hold."""
        return {
            "metric": self.metric,
            "dim": self.dim,
            "padded": self.padded,
            "scale": self.scale,
            "radius": self.radius,
            "center": self.center.astype("<f4").tobytes() if self.center.any() else b"",
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quantizer:
        """Inverse of `to_dict`."""
        dim = int(values["dim"])
        stored = np.frombuffer(values["center"], dtype="<f4").astype(np.float32)
        return cls(
            metric=values["metric"],
            dim=dim,
            padded=int(values["padded"]),
            scale=float(values["scale"]),
            radius=float(values["radius"]),
            center=stored if stored.size else np.zeros(dim, dtype=np.float32),
        )


def padded_dim(dim: int, metric: Metric) -> int:
    """Bytes of a code row: the components, for dot the augmentation, rounded up to whole cache lines."""
    used = dim + (AUGMENTED_DIMS if metric == "dot" else 0)
    return -(-used // ALIGNMENT) * ALIGNMENT


def fit_quantizer(vectors: npt.NDArray[Any], metric: Metric) -> Quantizer:
    """Fit scale (and radius, center) to `vectors` (n, dim) float32 or float16. Cost: one pass over a sample."""
    rows, dim = vectors.shape
    step = max(1, rows // FIT_ROWS_MAX)
    sample = np.asarray(vectors[::step], dtype=np.float64)
    center = np.zeros(dim, dtype=np.float32)
    radius = 0.0
    if metric == "cosine":
        sample = sample * inverse_norms(sample)[:, None]
    elif metric == "dot":
        radius = _largest_norm(vectors)
    elif rows:
        center = sample.mean(axis=0).astype(np.float32)
        sample = sample - center
    spread = float(np.quantile(np.abs(sample), SCALE_QUANTILE)) if sample.size else 0.0
    if metric == "dot":
        spread = max(spread, radius / (AUGMENTED_DIMS**0.5))
    scale = spread / CODE_MAX
    if not scale > np.finfo(np.float64).tiny:
        scale = 1.0  # all components are zero: every code is zero whatever the scale
    return Quantizer(metric, dim, padded_dim(dim, metric), scale, radius, center)


def encode_rows(
    quantizer: Quantizer, vectors: npt.NDArray[Any], norms: npt.NDArray[np.float32] | None = None
) -> Int8Array:
    """Codes (n, padded) int8, 64-byte aligned, of `vectors` (n, dim).

    `norms` (n,), the `inverse_norms` of the rows, may be given for cosine and is computed when missing.
    """
    codes: Int8Array = aligned_zeros((len(vectors), quantizer.padded), np.int8)
    for start in range(0, len(vectors), ENCODE_ROWS):
        stop = start + ENCODE_ROWS
        part = np.asarray(vectors[start:stop], dtype=np.float64)
        known = None if norms is None else norms[start:stop]
        scaled = _augmented(quantizer, part, known) / quantizer.scale
        codes[start:stop, : scaled.shape[1]] = np.clip(np.rint(scaled), -CODE_MAX, CODE_MAX)
    return codes


def inverse_norms(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """1 / |x| of each row of (n, dim), float32, computed in float64; 0 for zero rows.

    Norms below 3e-39 have no float32 inverse: they get the largest one, and cosine distances then only stay finite.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    exact = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    inverse: npt.NDArray[np.float32] = np.minimum(exact, np.finfo(np.float32).max).astype(np.float32)
    return inverse


def saturated_share(codes: Int8Array) -> float:
    """Share of codes at +-127, about 2e-4 right after a fit; much more means that the data moved: fit again."""
    return float((np.abs(codes.astype(np.int16)) == CODE_MAX).mean()) if codes.size else 0.0


def _augmented(quantizer: Quantizer, part: npt.NDArray[np.float64], norms: npt.NDArray[np.float32] | None) -> Any:
    """Rows of the augmented space of the metric, before scaling."""
    if quantizer.metric == "cosine":
        return part * (inverse_norms(part) if norms is None else norms)[:, None]
    if quantizer.metric == "l2":
        return part - quantizer.center
    missing = np.sqrt(np.maximum(quantizer.radius**2 - np.square(part).sum(axis=1), 0.0) / AUGMENTED_DIMS)
    return np.hstack([part, np.repeat(missing[:, None], AUGMENTED_DIMS, axis=1)])


def _largest_norm(vectors: npt.NDArray[Any]) -> float:
    """Largest row norm over all rows: the augmentation needs the true maximum, not that of a sample."""
    largest = 0.0
    for start in range(0, len(vectors), ENCODE_ROWS):
        part = np.asarray(vectors[start : start + ENCODE_ROWS], dtype=np.float64)
        largest = max(largest, float(np.square(part).sum(axis=1).max()))
    return float(largest**0.5)
