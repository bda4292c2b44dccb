"""Keeps a database's bytes: one LMDB environment per directory, typed keys, checksummed values, chunked columns.

Promises: this is the only package that imports lmdb; a committed transaction survives the death of the process, and
with durability="fsync" a power cut; every value read is checked before it is believed; damage is a typed error, never a
signal.
Invariants: one writer per directory; values are never rewritten in place while a reader can see them.
Concurrency: see `environment`. Not here: what collections, segments and records mean (`vecdb.engine`).
"""
