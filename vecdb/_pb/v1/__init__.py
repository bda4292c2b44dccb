"""Holds the messages and stubs of the package vecdb.v1, generated."""
