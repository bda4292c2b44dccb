"""Says what the figures depend on, and keeps threads where they are told to be."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TBB_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
)
"""What the libraries' thread pools read when they are loaded."""


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory, system and Python."""
    return {
        "cpu": _cpu_name(),
        "cpus": len(available_cpus()),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8").splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    widest = next((flag for flag in ("avx512f", "avx2", "asimd") if flag in facts.get("flags", "").split()), "")
    return f"{name} ({widest})" if widest else name


def available_cpus() -> set[int]:
    """The CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def pin(cpus: set[int]) -> None:
    """Run on these CPUs only, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def pinned_environment(threads: int) -> dict[str, str]:
    """Environment of a worker whose libraries may start this many threads.

    Compiled modules may be kept, whatever holds here: a package that was installed has them.
    """
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
    }


def command_line() -> str:
    """The command as a person would type it again."""
    return " ".join(["python -m benchmarks", *sys.argv[1:]])
