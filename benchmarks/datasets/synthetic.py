"""Generates data of known intrinsic structure, block by block and seeded: the same name and size give the same bytes.

- clustered: 200 well separated clusters, each a Gaussian of intrinsic dimension 20 in a random subspace of 128
  dimensions: hard for graphs, which must find the right cluster first (l2).
- sift-like: non-negative whole numbers in 128 dimensions, like histograms of gradients, from a latent Gaussian pushed
  through a fixed random network (l2). Its latent dimension is 15, and 32 for an eighth of the rows, so that hnswlib's
  curve resembles the published one of SIFT1M. Recall@10 of hnswlib 0.8 with M=16 and ef_construction=200:

      rows      ef 16   24     32     50     60     100    150    200
      100,000   .875    .923   .952   .977   .982   .993   .996   .998
      200,000   .846    .907   .939   .962   .972   .985   .993   .995
      1,000,000 .838    .899   .930   .961   .971   .986   .990   .993

- duplicates: a third of the rows are distinct, the others repeat 2,000 of them, some many thousand times (cosine).
- ood: queries come from elsewhere than the base rows, as texts asked of images do: shifted by a modality gap as
  long as the spread of the rows, and spread over other directions (cosine). The unit rows' means are .7 long and at
  right angles; hnswlib at ef 50 finds .95 of the neighbours of a held-out row, and .86 of a query's (30,000 rows).

The random numbers are numpy's and the products are BLAS's: another version or CPU may round last bits otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BLOCK_ROWS: Final = 16_384
SEED: Final = 20_240_117
CLUSTERS: Final = 200
CLUSTER_DIM: Final = 20
LATENT_DIM: Final = 15
LATENT_DIM_HARD: Final = 32
HARD_SHARE: Final = 0.12
HIDDEN: Final = 256
REPEATED: Final = 2_000
VERSION: Final = 2
"""Raised with every change of what is generated, so that no cache answers for an older recipe."""

Block = npt.NDArray[np.float32]
Generator = Callable[[np.random.Generator, int], Block]
"""Makes rows from the random numbers of a block."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A data set that can be made in any size. `make(seed)` fixes the structure that all blocks share."""

    metric: str
    dim: int
    rows: int
    make: Callable[[np.random.Generator], tuple[Generator, Generator]]


def base_blocks(recipe: Recipe, rows: int) -> Iterator[Block]:
    """Base rows, BLOCK_ROWS at a time; each block has random numbers of its own."""
    base, _ = recipe.make(np.random.default_rng(SEED))
    for start in range(0, rows, BLOCK_ROWS):
        yield base(np.random.default_rng((SEED, 1, start)), min(BLOCK_ROWS, rows - start))


def queries_of(recipe: Recipe, count: int) -> Block:
    """Held-out queries."""
    _, queries = recipe.make(np.random.default_rng(SEED))
    return queries(np.random.default_rng((SEED, 2)), count)


def _as_block(rows: npt.NDArray[Any]) -> Block:
    block: Block = rows.astype(np.float32)
    return block


def _clustered(rng: np.random.Generator) -> tuple[Generator, Generator]:
    centers = rng.standard_normal((CLUSTERS, 128)) * 4.0
    axes = rng.standard_normal((CLUSTERS, CLUSTER_DIM, 128)) / np.sqrt(CLUSTER_DIM)

    def rows(rng: np.random.Generator, count: int) -> Block:
        cluster = rng.integers(0, CLUSTERS, count)
        latent = rng.standard_normal((count, CLUSTER_DIM))
        made = centers[cluster]
        for number in np.unique(cluster):
            mine = cluster == number
            made[mine] += latent[mine] @ axes[number]
        return _as_block(made + 0.01 * rng.standard_normal(made.shape))

    return rows, rows


def _sift_like(rng: np.random.Generator) -> tuple[Generator, Generator]:
    inner = rng.standard_normal((LATENT_DIM_HARD, HIDDEN)) / np.sqrt(LATENT_DIM_HARD)
    offset = 0.3 * rng.standard_normal(HIDDEN)
    outer = rng.standard_normal((HIDDEN, 128)) / np.sqrt(HIDDEN)

    def rows(rng: np.random.Generator, count: int) -> Block:
        latent = rng.standard_normal((count, LATENT_DIM_HARD))
        latent[:, LATENT_DIM:] *= rng.random((count, 1)) < HARD_SHARE
        hidden = np.maximum(latent @ inner + offset, 0.0)
        bins = np.maximum(hidden @ outer + 0.05 * rng.standard_normal((count, 128)), 0.0)
        lengths = np.linalg.norm(bins, axis=1, keepdims=True)
        counts: Block = np.minimum(np.rint(512.0 * bins / np.maximum(lengths, 1e-9)), 255.0).astype(np.float32)
        return counts

    return rows, rows


def _duplicates(rng: np.random.Generator) -> tuple[Generator, Generator]:
    pool = rng.standard_normal((REPEATED, 64)).astype(np.float32)
    weights = 1.0 / np.arange(1, REPEATED + 1)
    weights /= weights.sum()

    def rows(rng: np.random.Generator, count: int) -> Block:
        made = rng.standard_normal((count, 64)).astype(np.float32)
        repeated = rng.random(count) >= 1 / 3
        made[repeated] = pool[rng.choice(REPEATED, int(repeated.sum()), p=weights)]
        return made

    def near(rng: np.random.Generator, count: int) -> Block:
        noise = 0.1 * rng.standard_normal((count, 64))
        return _as_block(rows(rng, count) + noise)

    return rows, near


def _ood(rng: np.random.Generator) -> tuple[Generator, Generator]:
    seen = rng.standard_normal((24, 200)) / np.sqrt(24)
    asked = 0.6 * seen + 0.8 * rng.standard_normal((24, 200)) / np.sqrt(24)
    shown_gap, asked_gap = rng.standard_normal((2, 200))

    def rows(rng: np.random.Generator, count: int) -> Block:
        made = rng.standard_normal((count, 24)) @ seen + shown_gap
        return _as_block(made + 0.05 * rng.standard_normal(made.shape))

    def queries(rng: np.random.Generator, count: int) -> Block:
        made = rng.standard_normal((count, 24)) @ asked + asked_gap
        return _as_block(made + 0.05 * rng.standard_normal(made.shape))

    return rows, queries


RECIPES: Final[dict[str, Recipe]] = {
    "clustered": Recipe("l2", 128, 200_000, _clustered),
    "sift-like": Recipe("l2", 128, 1_000_000, _sift_like),
    "duplicates": Recipe("cosine", 64, 100_000, _duplicates),
    "ood": Recipe("cosine", 200, 100_000, _ood),
}
