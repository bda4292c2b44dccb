"""Moves a collection to another embedding model while it is used."""
