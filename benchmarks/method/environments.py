"""Says which Python runs an engine, and why one cannot be run.

Most libraries live beside vecdb in "main", the environment that runs the harness (`pip install 'vecdb[bench]'`). Those
whose pins clash with it get an environment of their own, made on first use, in which only numpy, the library and the
repository are to be found. Promises: nothing is installed into the environment that runs the harness.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.datasets import cache_root
from benchmarks.engines.protocol import EngineSpec

MAIN: Final = "main"
SEPARATE: Final[dict[str, tuple[str, ...]]] = {}
"""Requirements of each separate environment."""

ASK_VERSIONS: Final = """
import json, sys
from importlib import metadata
missing = []
for name in sys.argv[1:]:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        missing.append(name)
print(json.dumps(missing))
"""


def python_of(environment: str, cache: Path | None = None) -> str:
    """The interpreter of an environment, which must exist (see `prepare`) unless it is "main"."""
    return sys.executable if environment == MAIN else str(_directory(environment, cache) / "bin" / "python")


def prepare(environment: str, cache: Path | None = None) -> None:
    """Make a separate environment if it is not there; minutes, the first time. CalledProcessError when pip fails."""
    if environment == MAIN or _is_ready(environment, cache):
        return
    directory = _directory(environment, cache)
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    pip = [python_of(environment, cache), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *SEPARATE[environment]], check=True)
    (directory / "READY").write_text("\n".join(SEPARATE[environment]))


def missing(spec: EngineSpec, cache: Path | None = None) -> str | None:
    """Why an engine cannot be run here, None when it can."""
    if spec.environment == MAIN:
        absent = [name for name in spec.distributions if not _is_installed(name)]
    elif not _is_ready(spec.environment, cache):
        return f"environment {spec.environment!r} was not made; run with --install"
    else:
        command = [python_of(spec.environment, cache), "-c", ASK_VERSIONS, *spec.distributions]
        absent = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return f"not installed: {', '.join(absent)}" if absent else None


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _directory(environment: str, cache: Path | None) -> Path:
    return cache_root(cache) / "environments" / environment


def _is_ready(environment: str, cache: Path | None) -> bool:
    """True when it was made with the requirements it has now."""
    stamp = _directory(environment, cache) / "READY"
    return stamp.exists() and stamp.read_text() == "\n".join(SEPARATE[environment])
