"""Holds code generated from proto/ by `make proto`; `vecdb.wire` is the way to use it."""
