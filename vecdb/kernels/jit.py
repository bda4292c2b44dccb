"""Compiles kernels once per machine into a private on-disk cache, and loads them from it.

Promises: `load_kernels` leaves every kernel ready; it prints one line to stderr only when it really compiles; a damaged
or foreign cache is rebuilt, never executed (each file's checksum is verified before numba reads it), and an unwritable
home costs a compilation, not an error.
Invariants: the cache directory is 0700 and keyed by vecdb version, kernel sources, numba, Python and CPU. Numba's own
settings are not touched, so the caller's numba functions cache where they always did.
Concurrency: thread safe; processes that start together share one compilation through a file lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import llvmlite.binding as llvm
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, _CacheLocator

from vecdb.config import FORMAT_VERSION
from vecdb.errors import KernelError

CACHE_VARIABLE: Final = "VECDB_CACHE_DIR"
COMPLETE_NAME: Final = "COMPLETE"
PROGRESS_LINE: Final = "vecdb: compiling kernels for this machine, once (about 20 s) ..."
FLAGS: Final = {"nsz", "arcp", "contract", "afn", "reassoc"}
"""Float licences without `nnan` and `ninf`: NaN and infinity keep their meaning."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class KernelEntry:
    """One registered kernel: the compiled dispatcher and the only signature it is compiled for."""

    name: str
    signature: str
    dispatcher: Any


KERNELS: Final[dict[str, KernelEntry]] = {}
"""Every kernel by name; filled when the kernel modules are imported."""

_lock = threading.Lock()
_ready = False


def _options() -> dict[str, Any]:
    return {"nogil": True, "boundscheck": False, "error_model": "numpy", "fastmath": FLAGS}


def kernel(signature: str) -> Callable[[F], F]:
    """Register a function as a kernel: callable from Python, one signature of plain numbers, GIL released."""

    def register(function: F) -> F:
        dispatcher = numba.njit(**_options())(function)
        KERNELS[function.__name__] = KernelEntry(function.__name__, signature, dispatcher)
        return cast(F, dispatcher)

    return register


def device(function: F) -> F:
    """Compile a function for use inside kernels only; LLVM inlines it where that pays."""
    return cast(F, numba.njit(**_options())(function))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's `@intrinsic`: a function that emits LLVM IR."""
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def load_kernels(progress: bool = True) -> None:
    """Make every kernel ready: load them from the cache or compile them (about 20 s, once per machine and version).

    Raises KernelError when LLVM cannot compile here. Cheap when called again.
    """
    global _ready
    with _lock:
        if not _ready:
            _import_kernel_modules()
            _load_or_compile(progress)
            _ready = True


def _import_kernel_modules() -> None:
    from vecdb.kernels import insertion, scan, search  # noqa: F401


def _load_or_compile(progress: bool) -> None:
    directory = _cache_directory()
    with _file_lock(directory, shared=True):
        if _is_sound(directory) and _load_all(directory):
            return
    with _file_lock(directory, shared=False):
        if _is_sound(directory) and _load_all(directory):
            return  # another process compiled while this one waited
        _drop_damaged(directory)
        if progress:
            print(PROGRESS_LINE, file=sys.stderr, flush=True)
        try:
            _compile_all(directory)
        except Exception as error:
            _purge(directory)
            raise KernelError(f"the kernels do not compile on this machine: {error!r}") from error
        _seal(directory)


def _load_all(directory: Path) -> bool:
    """Load every kernel from the cache; False when it does not hold all of them or numba cannot read it."""
    try:
        for entry in KERNELS.values():
            if not entry.dispatcher.overloads:
                entry.dispatcher._cache = _private_cache(entry.dispatcher.py_func, directory)
                entry.dispatcher.compile(entry.signature)
    except Exception:  # noqa: BLE001 - unpickling can raise anything; whatever it was, the cache is rebuilt
        return False
    _freeze_all()
    return True


def _compile_all(directory: Path) -> None:
    """Compile what is not loaded yet and save it; a full disk costs the saving only."""
    for entry in KERNELS.values():
        dispatcher = entry.dispatcher
        if not dispatcher.overloads:
            dispatcher._cache = _private_cache(dispatcher.py_func, directory)
            try:
                dispatcher.compile(entry.signature)
            except OSError:
                dispatcher._cache = NullCache()
                dispatcher.compile(entry.signature)
    _freeze_all()


def _freeze_all() -> None:
    """No further signatures: a call with unexpected types is an error, not a second compilation."""
    for entry in KERNELS.values():
        entry.dispatcher.disable_compile()


def compile_seconds() -> dict[str, float]:
    """Compile every kernel afresh without any cache and return seconds by name (a tool for benchmarks)."""
    _import_kernel_modules()
    seconds = {}
    for entry in KERNELS.values():
        fresh = numba.njit(**_options())(entry.dispatcher.py_func)
        begin = time.perf_counter()
        fresh.compile(entry.signature)
        seconds[entry.name] = time.perf_counter() - begin
    return seconds


# --- the private cache ---------------------------------------------------------------------------------------------


def _private_cache(function: Callable[..., Any], directory: Path) -> Any:
    """numba's function cache, in our directory. The directory's name is the key, so no source stamp is needed."""

    class Locator(_CacheLocator):
        def get_cache_path(self) -> str:
            return str(directory)

        def get_source_stamp(self) -> str:
            return directory.name

        def get_disambiguator(self) -> str:
            return "vecdb"

        @classmethod
        def from_function(cls, py_func: Callable[..., Any], py_file: str) -> Any:
            return cls()

    class Implementation(CompileResultCacheImpl):
        _locator_classes: list[Any] = [Locator]  # noqa: RUF012 - numba's own attribute

    class PrivateCache(FunctionCache):
        _impl_class = Implementation

    return PrivateCache(function)


def _cache_key() -> str:
    """Digest of everything the machine code depends on."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    features = llvm.get_host_cpu_features().flatten()
    parts = [FORMAT_VERSION, numba.__version__, llvm.llvm_version_info, sys.version, llvm.get_host_cpu_name(), features]
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]


def _cache_directory() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    places = [Path(named)] if named else []
    cache_home = os.environ.get("XDG_CACHE_HOME")
    places.append((Path(cache_home) if cache_home else Path("~/.cache").expanduser()) / "vecdb")
    for place in places:
        directory = place / f"kernels-{_cache_key()}"
        if _is_private(directory):
            return directory
    return Path(tempfile.mkdtemp(prefix="vecdb-kernels-"))


def _is_private(directory: Path) -> bool:
    """Create `directory` if need be; False unless it is ours, closed to others and writable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = directory.stat()
        if facts.st_uid != os.getuid():
            return False
        if facts.st_mode & 0o077:
            directory.chmod(0o700)
        return os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


@contextmanager
def _file_lock(directory: Path, *, shared: bool) -> Iterator[None]:
    handle = os.open(directory / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _cache_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.suffix in (".nbi", ".nbc"))


def _checksums(directory: Path) -> str:
    return "".join(f"{path.name} {zlib.crc32(path.read_bytes()):08x}\n" for path in _cache_files(directory))


def _is_sound(directory: Path) -> bool:
    """True when the cache is complete and every byte is as it was sealed."""
    try:
        return (directory / COMPLETE_NAME).read_text() == _checksums(directory)
    except (OSError, UnicodeDecodeError):
        return False


def _seal(directory: Path) -> None:
    partial = directory / f"{COMPLETE_NAME}.partial"
    try:
        partial.write_text(_checksums(directory))
        partial.replace(directory / COMPLETE_NAME)
    except OSError:
        return  # a full disk: the kernels of this process are ready all the same


def _drop_damaged(directory: Path) -> None:
    """Remove what is not as it was sealed, with all files of the same kernel; everything when the seal is missing.

    A cache that was sound, and yet could not be loaded, is removed whole.
    """
    try:
        sealed = set((directory / COMPLETE_NAME).read_text().splitlines())
    except (OSError, UnicodeDecodeError):
        sealed = set()
    found = set(_checksums(directory).splitlines())
    broken = {line.partition(".py")[0] for line in sealed ^ found}
    if not sealed or not broken:
        _purge(directory)
    for path in _cache_files(directory):
        if path.name.partition(".py")[0] in broken:
            path.unlink(missing_ok=True)


def _purge(directory: Path) -> None:
    for path in [directory / COMPLETE_NAME, *_cache_files(directory)]:
        path.unlink(missing_ok=True)
