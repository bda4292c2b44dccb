"""Checks that kernels are compiled once, kept, and run without numba."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vecdb.errors import KernelError
from vecdb.kernels import jit, native
from vecdb.kernels.cache import SUFFIX, cache_directory, read_object
from vecdb.kernels.native import NAMES, Kernels, kernels, load_kernels

SMALL_KERNEL = "sort_links"
SEARCH = """
import sys
import numpy as np
from vecdb.index.search import scan_planned
from vecdb.index.segment import scan_plan
from vecdb.kernels.column import Column
X = np.eye(4, dtype=np.float32)
slots = Column.from_array(np.arange(4, dtype=np.uint32))
plan = scan_plan(Column.from_array(X), None, slots, 4, "dot", "float32", 4)
print(scan_planned(plan, X[2:3], 1)[0].tolist(), "numba" in sys.modules)
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
    source = cache_directory(native._cache_key())
    if read_object(source, SMALL_KERNEL) is None:
        pytest.skip("no writable cache directory here")
    shutil.copytree(source, tmp_path / source.name)
    return tmp_path


def file_of(cache: Path, kernel: str) -> Path:
    """The cache file of one kernel."""
    (found,) = cache.glob(f"*/{kernel}{SUFFIX}")
    return found


def test_a_process_that_finds_the_kernels_runs_them_without_numba(cache: Path) -> None:
    output, errors = run_python(SEARCH, cache).communicate(timeout=120)
    assert (output, errors) == ("[[2]] False\n", "")


@pytest.mark.parametrize("damage", ["truncate", "garble", "delete", "empty"])
def test_a_damaged_kernel_is_compiled_again(cache: Path, damage: str) -> None:
    victim = file_of(cache, SMALL_KERNEL)
    content = bytearray(victim.read_bytes())
    if damage == "delete":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 0xFF
        kept = {"truncate": len(content) // 2, "garble": len(content), "empty": 0}[damage]
        victim.write_bytes(bytes(content[:kept]))
    output, errors = run_python(SEARCH, cache).communicate(timeout=120)
    assert output == "[[2]] True\n"
    assert errors.count("compiling kernels") == 1
    assert read_object(victim.parent, SMALL_KERNEL) is not None


def test_only_what_is_missing_is_compiled(cache: Path) -> None:
    before = {name: file_of(cache, name).stat().st_ino for name in NAMES}
    file_of(cache, SMALL_KERNEL).unlink()
    run_python(SEARCH, cache).communicate(timeout=120)
    after = {name: file_of(cache, name).stat().st_ino for name in NAMES if name != SMALL_KERNEL}
    assert after == {name: inode for name, inode in before.items() if name != SMALL_KERNEL}


def test_processes_that_start_together_compile_once(cache: Path) -> None:
    file_of(cache, SMALL_KERNEL).unlink()
    processes = [run_python(SEARCH, cache) for _ in range(4)]
    results = [process.communicate(timeout=120) for process in processes]
    assert [output.split()[0] for output, _ in results] == ["[[2]]"] * 4
    assert sum(errors.count("compiling kernels") for _, errors in results) == 1


def test_the_cache_is_private(cache: Path) -> None:
    directory = next(cache.iterdir())
    directory.chmod(0o755)
    run_python(SEARCH, cache).communicate(timeout=120)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_numba_caches_of_the_caller_stay_where_they_were(cache: Path, tmp_path: Path) -> None:
    module = tmp_path / "own" / "mine.py"
    module.parent.mkdir()
    module.write_text("import numba\n@numba.njit(cache=True)\ndef one():\n    return 1\n")
    file_of(cache, SMALL_KERNEL).unlink()
    code = f"{SEARCH}\nsys.path.insert(0, {str(module.parent)!r})\nimport mine; print(mine.one())"
    output, _ = run_python(code, cache, NUMBA_CACHE_DIR="").communicate(timeout=120)
    assert output == "[[2]] True\n1\n"
    assert list((module.parent / "__pycache__").glob("mine.one-*.nbi"))


def test_a_kernel_refuses_what_is_not_an_int() -> None:
    with pytest.raises(TypeError, match="sort_links takes 4 ints"):
        kernels.sort_links("not", "an", "address", "at all")


def test_a_kernel_refuses_a_missing_argument() -> None:
    with pytest.raises(TypeError, match="sort_links takes 4 ints"):
        kernels.sort_links(0, 0, 0)


def test_an_unknown_kernel_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        Kernels().no_such_kernel  # noqa: B018


def test_every_registered_kernel_can_be_called_and_no_other() -> None:
    jit.import_kernel_modules()
    assert set(jit.SOURCES) == set(NAMES)


def test_object_code_that_needs_numba_at_run_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such code would end the process when it is linked."""
    monkeypatch.setattr(jit, "SOURCES", dict(jit.SOURCES))

    @jit.kernel
    def allocates(size: int) -> int:
        return len(np.zeros(size))

    with pytest.raises(KernelError, match="which only numba provides"):
        jit.compile_kernel("allocates")


def test_a_failed_compilation_is_a_typed_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(names: list[str]) -> None:
        raise RuntimeError(f"no instruction for {names}")

    monkeypatch.setattr(native, "compile_kernels", fail)
    with pytest.raises(KernelError, match="do not compile on this machine"):
        native._compile_missing(tmp_path, progress=False)
