"""Reads documents from files, folders, tables, databases and pipes: lazily, in a stable order, one bad item at a time.

Start with `spec.open_source`; `item` has the types, `source` the protocol of all of them.
"""
