"""Graph index and exact scans over columns of vectors. Knows nothing of storage, ids or collections.

Promises: builds are deterministic for any number of threads; a search is never shorter than min(limit, live rows).
Concurrency: graphs and segments are immutable; searches run in any number of threads, each with its own Scratch.
"""
