"""Checks what importing costs and that imports only point down the layers."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("numba", "llvmlite", "lmdb", "hnswlib", "msgspec", "typer", "rich")

CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
RESTRICTED = {
    "numba": {"kernels"},
    "lmdb": {"storage"},
    "hnswlib": {"index"},
    "typer": {"cli"},
}
"""A library and the parts of vecdb that may import it."""


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _loaded_by(statement: str, libraries: tuple[str, ...]) -> list[str]:
    code = f"import sys\n{statement}\nprint(*[name for name in {libraries!r} if name in sys.modules])"
    return _run(code).split()


@pytest.mark.parametrize("module", ["vecdb", "vecdb.types", "vecdb.errors", "vecdb.config", "vecdb.client"])
def test_importing_the_package_loads_no_heavy_library(module: str) -> None:
    assert _loaded_by(f"import {module}", (*HEAVY, "grpc", "google.protobuf")) == []


ENGINE = ("numba", "llvmlite", "lmdb", "hnswlib", "vecdb.engine", "vecdb.server")


@pytest.mark.parametrize("module", ["vecdb.client.database", "vecdb.client.async_database", "vecdb.client.connecting"])
def test_the_client_loads_nothing_of_the_engine(module: str) -> None:
    assert _loaded_by(f"import {module}", ENGINE) == []


def test_grpc_comes_with_the_first_connection() -> None:
    connect = "try:\n    vecdb.connect('127.0.0.1:1', retries=0)\nexcept vecdb.errors.UnavailableError:\n    pass"
    assert _loaded_by("import vecdb, vecdb.client.database", ("grpc",)) == []
    assert _loaded_by(f"import vecdb\n{connect}", ("grpc", *ENGINE)) == ["grpc"]


@pytest.mark.parametrize("missing", ["grpc", "google.rpc"])
def test_connecting_without_grpc_says_what_to_install(missing: str) -> None:
    code = f"""
import sys, vecdb
sys.modules[{missing!r}] = None
try:
    vecdb.connect("127.0.0.1:1")
except ModuleNotFoundError as error:
    print(error)
"""
    assert "vecdb.connect needs grpcio, protobuf and googleapis-common-protos" in _run(code)


@pytest.mark.parametrize("module", ["vecdb.kernels", "vecdb.kernels.column"])
def test_importing_the_kernels_package_does_not_load_numba(module: str) -> None:
    assert _loaded_by(f"import {module}", ("numba", "llvmlite")) == []


def test_importing_storage_does_not_load_numba() -> None:
    assert _loaded_by("import vecdb.storage", ("numba", "llvmlite", "hnswlib")) == []


def test_importing_the_conversions_loads_no_transport_and_no_engine() -> None:
    modules = [f"vecdb.wire.{path.stem}" for path in (ROOT / "vecdb" / "wire").glob("[a-z]*.py")]
    assert "vecdb.wire.status" in modules
    assert _loaded_by(f"import {', '.join(modules)}", ("grpc", "vecdb.engine", *HEAVY)) == ["msgspec"]


def test_imports_only_point_down_the_layers() -> None:
    """Runs the contracts of import-linter, which are in pyproject.toml."""
    _run("import sys\nfrom importlinter.cli import lint_imports\nsys.exit(lint_imports(no_cache=True))")


@pytest.mark.parametrize(("library", "allowed"), RESTRICTED.items(), ids=RESTRICTED)
def test_no_part_of_the_package_escapes_a_contract(library: str, allowed: set[str]) -> None:
    """A package added later must be named in every contract, or it could import what it likes."""
    parts = {
        path.stem for path in (ROOT / "vecdb").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    contract = next(entry for entry in CONTRACTS if library in entry.get("forbidden_modules", ()))
    covered = {module.removeprefix("vecdb.") for module in contract["source_modules"]}
    assert covered == parts - allowed - {"__init__", "__main__"}
