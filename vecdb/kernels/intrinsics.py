"""Reads and writes raw memory from kernels: one LLVM instruction or call each, portable over CPUs.

Promises: every load and store tolerates any alignment; integers come back as int64, so kernels hold one integer type.
Invariants: addresses are trusted: a wrong one crashes the process, so only `vecdb.index` builds them.
Concurrency: no state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from vecdb.kernels.jit import intrinsic

I8, I16, I32, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()


def pointer(builder: Any, address: Any, kind: Any) -> Any:
    """`address` (i64) as a pointer to `kind`."""
    return builder.inttoptr(address, kind.as_pointer())


def load_as(builder: Any, address: Any, kind: Any) -> Any:
    """Unaligned load of a `kind` at `address`."""
    return builder.load(pointer(builder, address, kind), align=1)


def _loader(kind: Any, result: Any, widen: str | None) -> Callable[[int], Any]:
    def load(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = load_as(builder, args[0], kind)
            return getattr(builder, widen)(value, I64) if widen else value

        return result(types.int64), generate

    return intrinsic(load)


def _storer(kind: Any, argument: Any, narrow: str | None) -> Callable[[int, Any], None]:
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            content = getattr(builder, narrow)(args[1], kind) if narrow else args[1]
            builder.store(content, pointer(builder, args[0], kind), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, argument), generate

    return intrinsic(store)


load_i8: Callable[[int], int] = _loader(I8, types.int64, "sext")
load_u8: Callable[[int], int] = _loader(I8, types.int64, "zext")
load_i16: Callable[[int], int] = _loader(I16, types.int64, "sext")
load_i32: Callable[[int], int] = _loader(I32, types.int64, "sext")
load_u32: Callable[[int], int] = _loader(I32, types.int64, "zext")
load_i64: Callable[[int], int] = _loader(I64, types.int64, None)
load_f32: Callable[[int], float] = _loader(F32, types.float32, None)
load_f64: Callable[[int], float] = _loader(F64, types.float64, None)
store_u8: Callable[[int, int], None] = _storer(I8, types.int64, "trunc")
store_i16: Callable[[int, int], None] = _storer(I16, types.int64, "trunc")
store_i32: Callable[[int, int], None] = _storer(I32, types.int64, "trunc")
store_i64: Callable[[int, int], None] = _storer(I64, types.int64, None)
store_f32: Callable[[int, float], None] = _storer(F32, types.float32, None)
store_f16: Callable[[int, Any], None] = _storer(F16, types.float32, "fptrunc")


def _float_order(typingctx: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], I32)
        flip = builder.and_(builder.ashr(bits, I32(31)), I32(0x7FFFFFFF))
        return builder.sext(builder.xor(bits, flip), I64)

    return types.int64(types.float32), generate


def _float_from_order(typingctx: Any, order: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.trunc(args[0], I32)
        flip = builder.and_(builder.ashr(bits, I32(31)), I32(0x7FFFFFFF))
        return builder.bitcast(builder.xor(bits, flip), F32)

    return types.float32(types.int64), generate


float_order: Callable[[float], int] = intrinsic(_float_order)
"""float32 -> int64 in int32 range with the same order (sign-magnitude turned into two's complement)."""

float_from_order: Callable[[int], float] = intrinsic(_float_from_order)
"""Inverse of `float_order`."""


def _prefetcher(locality: int) -> Callable[[int], None]:
    def fetch(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [pointer(builder, args[0], I8), I32(0), I32(locality), I32(1)])
            return context.get_dummy_value()

        return types.void(types.int64), generate

    return intrinsic(fetch)


prefetch: Callable[[int], None] = _prefetcher(3)
"""Ask for the cache line at an address, into the first level; never faults."""

prefetch_l2: Callable[[int], None] = _prefetcher(2)
"""The same into the second level: for many lines at once, which would hold up all other loads of the first."""


def _lowest_bit(typingctx: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(I64, [I64, ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.cttz.i64")
        return builder.call(function, [args[0], ir.IntType(1)(1)])

    return types.int64(types.int64), generate


lowest_bit: Callable[[int], int] = intrinsic(_lowest_bit)
"""Position of the lowest set bit of a number other than 0."""


def spread(builder: Any, value: Any, kind: Any) -> Any:
    """A vector of `kind` with `value` in every lane."""
    unset = ir.Constant(kind, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count)
    return builder.shuffle_vector(builder.insert_element(unset, value, I32(0)), unset, zeros)


def _memory_call(name: str) -> Callable[[int, int, int], None]:
    """memmove(target, source, bytes) or memset(target, byte value, bytes)."""
    moves = name == "memmove"

    def call(typingctx: Any, target: Any, operand: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            middle = I8.as_pointer() if moves else I8
            kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), middle, I64, ir.IntType(1)])
            full_name = "llvm.memmove.p0.p0.i64" if moves else "llvm.memset.p0.i64"
            function = cgutils.get_or_insert_function(builder.module, kind, full_name)
            value = pointer(builder, args[1], I8) if moves else builder.trunc(args[1], I8)
            builder.call(function, [pointer(builder, args[0], I8), value, args[2], ir.IntType(1)(0)])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return intrinsic(call)


move_bytes: Callable[[int, int, int], None] = _memory_call("memmove")
fill_bytes: Callable[[int, int, int], None] = _memory_call("memset")
