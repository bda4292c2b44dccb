"""Loads the client from a tree laid out as VectorDBBench is, and makes the calls that its runners make."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("pydantic")

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "outside" / "vectordbbench"
PACKAGE = "vectordb_bench.backend.clients.vecdb"

API = """
from abc import ABC, abstractmethod
from enum import StrEnum
from pydantic import BaseModel

MetricType = StrEnum("MetricType", {name: name for name in ("L2", "COSINE", "IP", "DP", "HAMMING")})
IndexType = StrEnum("IndexType", {"HNSW": "HNSW", "Flat": "FLAT"})

class DBConfig(ABC, BaseModel):
    db_label: str = ""
    @abstractmethod
    def to_dict(self): ...

class DBCaseConfig(ABC):
    @abstractmethod
    def index_param(self): ...
    @abstractmethod
    def search_param(self): ...

class VectorDB(ABC):
    @abstractmethod
    def __init__(self, dim, db_config, db_case_config, collection_name, drop_old=False, **kwargs): ...
    @abstractmethod
    def init(self): ...
    @classmethod
    def filter_supported(cls, filters): return filters.type in cls.supported_filter_types
    @abstractmethod
    def insert_embeddings(self, embeddings, metadata, labels_data=None, tenant_labels_data=None, **kwargs): ...
    @abstractmethod
    def search_embedding(self, query, k=100, payload_profile=None, tenant=None): ...
    @abstractmethod
    def optimize(self, data_size=None): ...
"""

FILTER = """
from enum import StrEnum
FilterOp = StrEnum("FilterOp", {"NumGE": "NumGE", "StrEqual": "Label", "NonFilter": "NonFilter"})
class Filter: ...
"""

COMMANDS = """
from typing import Annotated, TypedDict, get_type_hints
import click

ran = []
cli = click.Group()

class CommonTypedDict(TypedDict):
    db_label: Annotated[str, click.option("--db-label", default="")]

def click_parameter_decorators_from_typed_dict(typed_dict):
    def decorate(function):
        for hint in get_type_hints(typed_dict, include_extras=True).values():
            function = hint.__metadata__[0](function)
        return function
    return decorate

def run(db, db_config, db_case_config, **parameters):
    ran.append((db, db_config, db_case_config, parameters))
"""

SEARCHING_PROCESS = """
import json, pickle, sys
client, queries = pickle.load(sys.stdin.buffer)
with client.init():
    print(json.dumps([client.search_embedding(query, 5) for query in queries]))
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The root of a tree that holds the client, on the path."""
    root = tmp_path / "tree"
    clients, commands = root / "vectordb_bench" / "backend" / "clients", root / "vectordb_bench" / "cli"
    shutil.copytree(FOLDER, clients / "vecdb", ignore=shutil.ignore_patterns("__pycache__"))
    commands.mkdir()
    (clients / "api.py").write_text(API)
    (clients / "__init__.py").write_text('import enum\nDB = enum.Enum("DB", {"VecDB": "VecDB"})\n')
    (clients.parent / "filter.py").write_text(FILTER)
    (commands / "cli.py").write_text(COMMANDS)
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in [name for name in sys.modules if name.partition(".")[0] == "vectordb_bench"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def vectors() -> npt.NDArray[np.float32]:
    return np.random.default_rng(6).standard_normal((2_500, 16)).astype(np.float32)


def _client(tree: Path, **options: Any) -> Any:
    config = importlib.import_module(f"{PACKAGE}.config")
    drop_old = options.pop("drop_old", True)
    return importlib.import_module(f"{PACKAGE}.vecdb").VecDB(
        dim=16,
        db_config=config.VecDBConfig(db_label="here", path=str(tree / "data")).to_dict(),
        db_case_config=config.VecDBCaseConfig(**options),
        drop_old=drop_old,
        with_scalar_labels=False,
    )


def _insert(client: Any, vectors: npt.NDArray[Any], first: int = 0) -> None:
    ids = list(range(first, first + len(vectors)))
    assert client.insert_embeddings(embeddings=vectors.tolist(), metadata=ids, labels_data=None) == (len(ids), None)


def _loaded(tree: Path, vectors: npt.NDArray[Any], **options: Any) -> Any:
    client = _client(tree, **options)
    with client.init():
        _insert(client, vectors)
    with client.init():
        client.optimize(data_size=len(vectors))
    return client


def _filters(operation: str) -> Any:
    return SimpleNamespace(type=importlib.import_module("vectordb_bench.backend.filter").FilterOp[operation])


def test_a_search_returns_the_ids_of_the_nearest(tree: Path, vectors: npt.NDArray[np.float32]) -> None:
    client = _loaded(tree, vectors, target_recall=0.99)
    with client.init():
        client.prepare_filter(_filters("NonFilter"))
        found = [client.search_embedding(vector.tolist(), 3)[0] for vector in vectors]
    assert np.mean(np.array(found) == np.arange(len(vectors))) > 0.98


@pytest.mark.parametrize("metric", ["COSINE", "L2", "IP", "DP"])
def test_each_metric_ranks_as_its_name_says(tree: Path, vectors: npt.NDArray[np.float32], metric: str) -> None:
    api_metric = importlib.import_module("vectordb_bench.backend.clients.api").MetricType[metric]
    client, query = _loaded(tree, vectors, metric_type=api_metric, ef=500), vectors[0]
    scores = {
        "COSINE": vectors @ query / np.linalg.norm(vectors, axis=1),
        "L2": -np.linalg.norm(vectors - query, axis=1),
    }.get(metric, vectors @ query)
    with client.init():
        found = client.search_embedding(query.tolist(), k=5)
    assert found == np.argsort(-scores)[:5].tolist()
    assert not client.need_normalize_cosine()


def test_a_copy_in_another_process_searches_while_this_one_inserts(
    tree: Path, vectors: npt.NDArray[np.float32]
) -> None:
    client = _client(tree, ef=200)
    copy = pickle.dumps((client, vectors[:4].tolist()))
    with client.init():
        _insert(client, vectors[:1_500])
        done = subprocess.run(
            [sys.executable, "-c", SEARCHING_PROCESS],
            input=copy,
            capture_output=True,
            check=True,
            env={"PYTHONPATH": f"{tree}:{FOLDER.parents[2]}"},
        )
        _insert(client, vectors[1_500:], first=1_500)
    assert [ids[0] for ids in json.loads(done.stdout)] == [0, 1, 2, 3]


def test_threads_that_insert_share_one_writer(tree: Path, vectors: npt.NDArray[np.float32]) -> None:
    client = _client(tree)
    with client.init(), ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(_insert, client, vectors[at : at + 250], at) for at in range(0, 2_500, 250)]:
            future.result()
        assert sorted(client.search_embedding(vectors[0].tolist(), 2_500)) == list(range(2_500))


def test_a_new_case_keeps_the_data_unless_told_to_drop_it(tree: Path, vectors: npt.NDArray[np.float32]) -> None:
    _loaded(tree, vectors)
    for drop_old, expected in ((False, 3), (True, 0)):
        client = _client(tree, drop_old=drop_old)
        with client.init():
            assert len(client.search_embedding(vectors[0].tolist(), 3)) == expected


def test_an_insert_that_fails_is_reported_as_nothing_inserted(tree: Path) -> None:
    client = _client(tree)
    with client.init():
        count, error = client.insert_embeddings([[0.0] * 16], [1])
    assert count == 0
    assert isinstance(error, Exception)


def test_filters_are_refused_and_not_ignored(tree: Path, vectors: npt.NDArray[np.float32]) -> None:
    client = _loaded(tree, vectors)
    assert client.filter_supported(_filters("NonFilter"))
    assert not client.filter_supported(_filters("NumGE"))
    with client.init():
        with pytest.raises(NotImplementedError):
            client.prepare_filter(_filters("NumGE"))
        with pytest.raises(NotImplementedError):
            client.search_embedding(vectors[0].tolist(), 3, {"id": 5})


def test_the_command_hands_its_options_to_the_harness(tree: Path) -> None:
    testing, commands = importlib.import_module("click.testing"), importlib.import_module("vectordb_bench.cli.cli")
    importlib.import_module(f"{PACKAGE}.cli")
    arguments = ["vecdb", "--path", str(tree / "data"), "--m", "24", "--ef", "77", "--db-label", "mine"]
    result = testing.CliRunner().invoke(commands.cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    ((db, config, case, _),) = commands.ran
    assert (db.name, config.db_label, config.to_dict()) == ("VecDB", "mine", {"path": str(tree / "data")})
    assert case.index_param() == {"metric": "cosine", "m": 24, "ef_construction": 200}
    assert case.search_param() == {"ef": 77}
