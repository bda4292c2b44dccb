"""Builds the client alone and uses it where there is neither numba, lmdb nor hnswlib."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import vecdb
from tests.conformance.served_fronts import server_in_this_process

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "packaging" / "vecdb-client"
PARTS = {"__init__.py", "_pb", "checks", "client", "filters", "py.typed", "wire"}
PARTS |= {"config.py", "errors.py", "fingerprint.py", "types.py"}
ALLOWED = ("numpy", "grpc", "google", "msgspec", "typing_extensions")
"""What the client needs, as modules."""

ROUND_TRIP = """
import asyncio, importlib.util, sys
import numpy as np
import vecdb
from vecdb import F

address = sys.argv[1]
for absent in ("numba", "llvmlite", "lmdb", "hnswlib", "vecdb.engine", "vecdb.server"):
    assert importlib.util.find_spec(absent) is None, absent
x = np.eye(4, dtype=np.float32)
with vecdb.connect(address) as db:
    docs = db.create_collection("docs", dim=4)
    docs.upsert(["a", "b", 3], x[:3], [{"n": n} for n in range(3)])
    docs.ingest([([4], x[3:])])
    docs.create_index("n", "int")
    assert docs.search(x[1], 1, filter=F("n") > 0).ids == ["b"]
    assert docs.get("a", with_vectors=True).vector.tolist() == [1, 0, 0, 0]
    assert [record.id for record in docs.iterate()] == [3, 4, "a", "b"]
    try:
        docs.search(x[0], -1)
    except vecdb.errors.LimitExceededError as error:
        assert error.details["option"] == "limit"

async def count():
    async with await vecdb.connect_async(address) as db:
        return await (await db.collection("docs")).count()

assert asyncio.run(count()) == 4
try:
    vecdb.open("data")
except ModuleNotFoundError as error:
    assert "pip install vecdb" in str(error), error
else:
    raise AssertionError("there is an engine")
print("done")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def run(command: list[str], **options: Any) -> object:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_client_alone_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[1] for name in names} == PARTS
    assert {name.split("/")[0] for name in names} == {"vecdb"}


def test_the_client_alone_asks_for_the_versions_that_all_of_vecdb_asks_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = set(metadata.get_all("Requires-Dist", []))
    assert wanted <= set(project["dependencies"])
    assert len(wanted) == 5
    assert (metadata["Name"], metadata["Version"]) == ("vecdb-client", vecdb.__version__)


def test_the_client_alone_works_without_the_libraries_of_the_engine(wheel: Path, tmp_path: Path) -> None:
    site, allowed = tmp_path / "site", tmp_path / "allowed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    allowed.mkdir()
    for name in ALLOWED:
        spec = find_spec(name)
        assert spec is not None, name
        found = Path(next(iter(spec.submodule_search_locations or [spec.origin or ""])))
        (allowed / found.name).symlink_to(found)
    script = f"import sys; sys.path[:0] = [{str(site)!r}, {str(allowed)!r}]\n{ROUND_TRIP}"
    with server_in_this_process() as place:
        # -S: without the packages of this environment
        assert run([sys.executable, "-I", "-S", "-c", script, place.addresses[0]]) == "done\n"


@pytest.mark.torture
def test_the_client_alone_can_be_installed(wheel: Path, tmp_path: Path) -> None:
    """With pip and its index, so not part of the default tests."""
    venv.create(tmp_path / "env", with_pip=True)
    python = str(tmp_path / "env" / "bin" / "python")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run([python, "-m", "pip", "install", "--quiet", str(wheel)], env=environment)
    with server_in_this_process() as place:
        assert run([python, "-c", ROUND_TRIP, place.addresses[0]], env=environment, cwd=tmp_path) == "done\n"
