"""Compiled inner loops of vecdb: distances, graph traversal, building and exact scans over raw memory.

Promises: importing this package, `column` or `native` loads no numba; `native.load_kernels` readies all kernels, and
needs numba only on the first start of a machine.
Invariants: kernels are pure functions of the memory they are given addresses of, and every one has an obviously
correct twin in `tests/oracle.py`.
Concurrency: all kernels release the GIL and keep no state of their own; callers own the memory and its locking.
"""
