"""Checks the private kernel cache: compiled once, shared, rebuilt when damaged, never in the way of others."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vecdb.kernels import jit
from vecdb.kernels.jit import COMPLETE_NAME, load_kernels

SMALL_KERNEL = "insertion.sort_links"
LOAD = """
import numpy as np
from vecdb.kernels.jit import load_kernels
load_kernels()
from vecdb.kernels.column import Column
from vecdb.index.search import scan_rows
X = np.eye(4, dtype=np.float32)
slots = Column.from_array(np.arange(4, dtype=np.uint32))
found, _ = scan_rows(Column.from_array(X), None, slots, 4, "dot", "float32", 4, X[2], 1)
print(found.tolist())
"""


def run_python(code: str, cache: Path, **variables: str) -> subprocess.Popen[str]:
    """A Python process with its kernel cache in `cache`."""
    environment = {**os.environ, "VECDB_CACHE_DIR": str(cache), **variables}
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A copy of the compiled cache of this machine, to be damaged."""
    load_kernels(progress=False)
    source = jit._cache_directory()
    if not (source / COMPLETE_NAME).exists():
        pytest.skip("no writable cache directory here")
    shutil.copytree(source, tmp_path / source.name)
    return tmp_path


def files_of(cache: Path, kernel: str, suffix: str) -> list[Path]:
    """Cache files of one kernel."""
    return sorted(cache.glob(f"*/{kernel}-*{suffix}"))


def test_a_sound_cache_loads_without_compiling(cache: Path) -> None:
    process = run_python(LOAD, cache)
    output, errors = process.communicate(timeout=120)
    assert (output, errors) == ("[2]\n", "")


@pytest.mark.parametrize(
    ("damage", "suffix"), [("truncate", ".nbi"), ("truncate", ".nbc"), ("garble", ".nbc"), ("delete", ".nbi")]
)
def test_a_damaged_kernel_is_compiled_again(cache: Path, damage: str, suffix: str) -> None:
    (victim,) = files_of(cache, SMALL_KERNEL, suffix)
    content = bytearray(victim.read_bytes())
    if damage == "delete":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 0xFF
        kept = {"truncate": len(content) // 2, "garble": len(content)}[damage]
        victim.write_bytes(bytes(content[:kept]))
    output, errors = run_python(LOAD, cache).communicate(timeout=120)
    assert output == "[2]\n"
    assert errors.count("compiling kernels") == 1
    assert jit._is_sound(victim.parent)


def test_processes_that_start_together_compile_once(cache: Path) -> None:
    for suffix in (".nbi", ".nbc"):
        for path in files_of(cache, SMALL_KERNEL, suffix):
            path.unlink()
    processes = [run_python(LOAD, cache) for _ in range(4)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [output for output, _ in results] == ["[2]\n"] * 4
    assert sum(errors.count("compiling kernels") for _, errors in results) == 1


def test_the_cache_is_private(cache: Path) -> None:
    directory = next(cache.iterdir())
    directory.chmod(0o755)
    run_python(LOAD, cache).communicate(timeout=120)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_numba_caches_of_the_caller_stay_where_they_were(cache: Path, tmp_path: Path) -> None:
    module = tmp_path / "own" / "mine.py"
    module.parent.mkdir()
    module.write_text("import numba\n@numba.njit(cache=True)\ndef one():\n    return 1\n")
    code = f"{LOAD}\nimport sys; sys.path.insert(0, {str(module.parent)!r})\nimport mine; print(mine.one())"
    output, _ = run_python(code, cache, NUMBA_CACHE_DIR="").communicate(timeout=120)
    assert output == "[2]\n1\n"
    assert list((module.parent / "__pycache__").glob("mine.one-*.nbi"))


def test_importing_columns_loads_no_numba(tmp_path: Path) -> None:
    code = "import sys, vecdb.kernels.column; print('numba' in sys.modules)"
    output, _ = run_python(code, tmp_path).communicate(timeout=120)
    assert output == "False\n"


def test_an_unusable_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("VECDB_CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert jit._cache_directory().is_relative_to(tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    fallback = jit._cache_directory()
    assert fallback.name.startswith("vecdb-kernels-")
    assert stat.S_IMODE(fallback.stat().st_mode) == 0o700
    fallback.rmdir()


def test_a_kernel_refuses_arguments_of_other_types() -> None:
    load_kernels(progress=False)
    with pytest.raises(TypeError):
        jit.KERNELS["sort_links"].dispatcher("not", "an", "address", "at all")
