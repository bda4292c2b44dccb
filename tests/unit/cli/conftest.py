"""A small database and a command line that reports what a shell would see."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import vecdb
from vecdb.cli.app import run

SHARED_UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
ROWS = 20
DIM = 4


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout; fails when there is anything else."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


Shell: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    def call(*words: object) -> Outcome:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A database with `docs` (ids of all types; row n points along axis n % 4) and `shop` (two fields)."""
    path = tmp_path / "data"
    vectors = (
        np.eye(DIM, dtype=np.float32)[np.arange(ROWS) % DIM] + np.linspace(0, 0.1, ROWS, dtype=np.float32)[:, None]
    )
    ids: list[str | int | uuid.UUID] = [*range(ROWS - 3), "seven", "7", SHARED_UUID]
    with vecdb.open(path) as db:
        db.create_collection("docs", dim=DIM).upsert(
            ids, vectors, [{"row": row, "text": "[bold]x"} for row in range(ROWS)]
        )
        shop = db.create_collection(
            "shop", fields={"text": vecdb.Field(dim=3), "image": vecdb.Field(dim=2, metric="l2")}
        )
        shop.upsert(["a", "b"], {"text": np.eye(3)[:2], "image": np.eye(2)})
    return path
