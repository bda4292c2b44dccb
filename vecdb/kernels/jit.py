"""Declares kernels and compiles them with numba to object code that runs without numba, and without Python.

A kernel takes int64 arguments and returns one int64. Its object code exports one C function, `vecdb_` + name, which
takes the address of the arguments in a row: a call from Python then costs one conversion instead of a dozen.
Promises: object code depends on libc and libm only, so any process of this machine can load it from the disk.
Importing this module loads numba; searching does not import it (see `native`).
Concurrency: numba compiles under a lock of its own.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import llvmlite.binding as llvm
import numba

from vecdb.errors import KernelError
from vecdb.kernels.cache import ObjectCode
from vecdb.kernels.native import SYMBOL_PREFIX, target_machine

FLAGS: Final = {"nsz", "arcp", "contract", "afn", "reassoc"}
"""Float licences without `nnan` and `ninf`: NaN and infinity keep their meaning."""

ALLOWED_SYMBOLS: Final = {"memcpy", "memmove", "memset", "sqrt", "sqrtf"}
"""What object code may ask of the process that loads it, besides LLVM's own intrinsics."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A registered kernel before compilation: numba's dispatcher and the number of its int64 arguments."""

    name: str
    dispatcher: Any
    arity: int


SOURCES: Final[dict[str, KernelSource]] = {}
"""Every kernel by name; filled when the kernel modules are imported."""


def _options() -> dict[str, Any]:
    return {"nogil": True, "boundscheck": False, "error_model": "numpy", "fastmath": FLAGS}


def kernel(function: F) -> F:
    """Register a function as a kernel: it is called from Python through `native.kernels`, the GIL released."""
    dispatcher = numba.njit(**_options())(function)
    SOURCES[function.__name__] = KernelSource(
        function.__name__, dispatcher, len(inspect.signature(function).parameters)
    )
    return cast(F, dispatcher)


def device(function: F) -> F:
    """Compile a function for use inside kernels only; LLVM inlines it where that pays."""
    return cast(F, numba.njit(**_options())(function))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's `@intrinsic`: a function that emits LLVM IR."""
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def import_kernel_modules() -> None:
    """Fill SOURCES."""
    from vecdb.kernels import (  # noqa: PLC0415 - they import this module
        columns,  # noqa: F401 - importing registers
        filling,  # noqa: F401 - as columns
        filtered,  # noqa: F401 - as columns
        gather,  # noqa: F401 - as columns
        insertion,  # noqa: F401 - as columns
        packing,  # noqa: F401 - as columns
        records,  # noqa: F401 - as columns
        scan,  # noqa: F401 - as columns
        search,  # noqa: F401 - as columns
        sketches,  # noqa: F401 - as columns
        taking_out,  # noqa: F401 - as columns
    )


def compile_kernel(name: str) -> ObjectCode:
    """Compile one registered kernel (0.1 to 4 s). Raises KernelError for code that needs more than libc and libm."""
    source = SOURCES[name]
    source.dispatcher.compile((numba.int64,) * source.arity)
    ((signature, compiled),) = source.dispatcher.overloads.items()
    module = llvm.parse_assembly(source.dispatcher.inspect_llvm(signature))
    _hide_all(module)
    entry = module.get_function(compiled.fndesc.llvm_func_name)
    entry.linkage = "external"
    module.link_in(llvm.parse_assembly(_entry_point(module, name, entry.name, source.arity)))
    module.get_function(entry.name).linkage = "internal"
    machine = target_machine()
    _drop_unused(module, machine)
    declared = {
        value.name for value in itertools.chain(module.functions, module.global_variables) if _is_missing(value)
    }
    if declared - ALLOWED_SYMBOLS:
        raise KernelError(f"kernel {name!r} needs {sorted(declared - ALLOWED_SYMBOLS)}, which only numba provides")
    return ObjectCode(arity=source.arity, code=machine.emit_object(module))


def _is_missing(value: Any) -> bool:
    return bool(value.is_declaration) and not value.name.startswith("llvm.")


def _hide_all(module: Any) -> None:
    """Let nothing be seen from outside, numba's wrappers for Python included, so that what is not used goes."""
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"


def _entry_point(module: Any, name: str, entry: str, arity: int) -> str:
    """IR of the exported function: it unpacks the arguments and calls numba's, whose status is 0 (no kernel raises)."""
    loads = [
        f"%p{index} = getelementptr i64, ptr %arguments, i64 {index}\n  %a{index} = load i64, ptr %p{index}"
        for index in range(arity)
    ]
    passed = ", ".join(["ptr %result", "ptr %error", *(f"i64 %a{index}" for index in range(arity))])
    body = "\n  ".join(loads)
    return f"""
target triple = "{module.triple}"
target datalayout = "{module.data_layout}"
declare i32 @"{entry}"({", ".join(["ptr", "ptr"] + ["i64"] * arity)})
define i64 @{SYMBOL_PREFIX}{name}(ptr %arguments) nounwind {{
  %result = alloca i64
  %error = alloca ptr
  store i64 0, ptr %result
  {body}
  %status = call i32 @"{entry}"({passed})
  %value = load i64, ptr %result
  ret i64 %value
}}
"""


def _drop_unused(module: Any, machine: Any) -> None:
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3)))
