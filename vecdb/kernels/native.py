"""Runs kernels: links their object code into this process and calls it, with llvmlite and without numba.

numba is needed only to compile, once per machine; a process that finds the kernels in the cache starts a quarter of a
second sooner and keeps 40 MB less of private memory than one that loads numba.
Promises: `load_kernels` leaves every kernel ready; it prints one line to stderr only when it really compiles.
Invariants: kernels are C functions of one address; they release the GIL and never raise.
Concurrency: thread safe; processes that start together share one compilation.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from vecdb.config import FORMAT_VERSION
from vecdb.errors import KernelError
from vecdb.kernels.cache import ObjectCode, cache_directory, compiling, read_object, write_object

SYMBOL_PREFIX: Final = "vecdb_"
PROGRESS_LINE: Final = "vecdb: compiling kernels for this machine, once (about half a minute of one core) ...\n"
SHUFFLE_VARIABLE: Final = "VECDB_SHUFFLE_BYTES"
"""Environment variable: the most bytes that one look-up instruction may take (0, 16, 32, 64); see `signs`."""

Kernel: TypeAlias = Callable[..., int]
Call: TypeAlias = Callable[[], int]


class Kernels:
    """The kernels as functions of int64 arguments; see the module of each. The first use of any readies all."""

    attach_unreached: Kernel
    copy_codes: Kernel
    copy_lists: Kernel
    copy_states: Kernel
    even_links: Kernel
    fill_links: Kernel
    find_entries: Kernel
    find_linking: Kernel
    find_twins: Kernel
    gather_ids: Kernel
    gather_keys: Kernel
    gather_records: Kernel
    gather_sketches: Kernel
    insert_rows: Kernel
    link_targets: Kernel
    list_bits: Kernel
    match_column: Kernel
    match_sizes: Kernel
    pack_rows: Kernel
    relink_rows: Kernel
    repair_rows: Kernel
    rotate_rows: Kernel
    scan_block: Kernel
    scan_rows: Kernel
    search_graph: Kernel
    search_kept: Kernel
    sketch_rows: Kernel
    sort_links: Kernel

    def __getattr__(self, name: str) -> Kernel:
        """Reached only while a kernel is not loaded."""
        if name not in NAMES:
            raise AttributeError(name)
        load_kernels()
        kernel: Kernel = self.__dict__[name]
        return kernel


NAMES: Final = tuple(Kernels.__annotations__)
kernels: Final = Kernels()

_lock = threading.Lock()
_binders: dict[str, Callable[..., Call]] = {}
_engines: list[Any] = []
"""LLVM's engine, which owns the machine code."""


def load_kernels(progress: bool = True) -> None:
    """Make every kernel ready: load them from the cache (5 ms) or compile them (25 s, once per machine).

    Raises KernelError when LLVM cannot compile here. Cheap when called again.
    """
    if _engines:
        return
    with _lock:
        if not _engines:
            directory = cache_directory(_cache_key())
            objects = {name: read_object(directory, name) for name in NAMES}
            if None in objects.values():
                with compiling(directory):
                    objects = _compile_missing(directory, progress)
            _link({name: code for name, code in objects.items() if code is not None})


def _compile_missing(directory: Path, progress: bool) -> dict[str, ObjectCode | None]:
    """Read the cache again, for another process may have filled it meanwhile, and compile what it still lacks."""
    objects = {name: read_object(directory, name) for name in NAMES}
    missing = [name for name, found in objects.items() if found is None]
    if missing and progress:
        sys.stderr.write(PROGRESS_LINE)
        sys.stderr.flush()
    try:
        for name, code in compile_kernels(missing).items():
            write_object(directory, name, code)
            objects[name] = code
    except KernelError:
        raise
    except Exception as error:
        raise KernelError(f"the kernels do not compile on this machine: {error!r}") from error
    return objects


def compile_kernels(names: list[str]) -> dict[str, ObjectCode]:
    """Compile kernels afresh; loads numba."""
    if not names:
        return {}
    from vecdb.kernels import jit  # noqa: PLC0415 - loads numba

    jit.import_kernel_modules()
    return {name: jit.compile_kernel(name) for name in names}


def target_machine() -> Any:
    """LLVM's machine for this processor and all its features, with numba's choices for code placed by LLVM's JIT."""
    import llvmlite.binding as llvm  # noqa: PLC0415 - loads LLVM

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        # On x86 the JIT's linker gets some relative relocations of far code wrong; absolute ones it knows.
        reloc="static" if target.name.startswith("x86") else "default",
        codemodel="jitdefault",
    )


def _link(objects: Mapping[str, ObjectCode]) -> None:
    """Place object code into memory and put the functions into `kernels`."""
    import llvmlite.binding as llvm  # noqa: PLC0415 - loads LLVM

    machine = target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    for kernel in objects.values():
        engine.add_object_file(llvm.ObjectFileRef.from_data(kernel.code))
    engine.finalize_object()
    for name, kernel in objects.items():
        address = engine.get_function_address(SYMBOL_PREFIX + name)
        call, _binders[name] = _callable(name, address, kernel.arity)
        setattr(kernels, name, call)
    _engines.append(engine)


def bound(name: str, *arguments: int) -> Call:
    """A kernel with its arguments: calling it costs 0.3 us, where arguments given anew cost 1 us more.

    They are mostly addresses: whoever keeps the call keeps what they point to.
    """
    load_kernels()
    return _binders[name](*arguments)


def _callable(name: str, address: int, arity: int) -> tuple[Kernel, Callable[..., Call]]:
    """Functions of `arity` ints: one calls the machine code at `address`, the other makes a call for later."""
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p)(address)
    pack = struct.Struct(f"{arity}q").pack

    def packed(*arguments: int) -> bytes:
        # A TypeError here, before any machine code runs, is all that stands between a wrong argument and a signal.
        try:
            return pack(*arguments)
        except struct.error as error:
            raise TypeError(f"kernel {name} takes {arity} ints: {error}") from None

    def bind(*arguments: int) -> Call:
        return partial(function, packed(*arguments))

    def call(*arguments: int) -> int:
        result: int = function(packed(*arguments))
        return result

    return call, bind


def _cache_key() -> str:
    """Digest of everything the machine code depends on."""
    import hashlib  # noqa: PLC0415 - opening a database need not wait for it

    import llvmlite.binding as llvm  # noqa: PLC0415 - loads LLVM

    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(_numba_version())
    digest.update(os.environ.get(SHUFFLE_VARIABLE, "").encode())
    features = llvm.get_host_cpu_features().flatten()
    parts = [FORMAT_VERSION, llvm.llvm_version_info, llvm.get_process_triple(), llvm.get_host_cpu_name(), features]
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]


def _numba_version() -> bytes:
    """What names numba's version, without importing it (which costs 0.2 s) or asking the metadata (25 ms)."""
    import importlib.util  # noqa: PLC0415 - as hashlib

    found = importlib.util.find_spec("numba")
    if found is None or found.origin is None:
        raise KernelError("numba is not installed; install vecdb again")
    version = Path(found.origin).with_name("_version.py")
    return version.read_bytes() if version.exists() else str(Path(found.origin).stat().st_mtime_ns).encode()
