"""Checks what callers hand in, for whoever takes it from them: the engine, and a client before it asks the server.

Promises: what needs no knowledge of a collection is refused here, by the same words on every front.
Concurrency: pure functions.
"""
