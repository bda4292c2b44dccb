"""Compiled inner loops of vecdb: distances, graph traversal, building and exact scans over raw memory.

Promises: importing this package or `kernels.column` loads no numba; `kernels.jit.load_kernels` readies all kernels.
Invariants: kernels are pure functions of the memory they are given addresses of, and every one has an obviously
correct twin in `tests/oracle.py`.
Concurrency: all kernels release the GIL and keep no state of their own; callers own the memory and its locking.
"""
