"""Holds the folder that ann-benchmarks loads; see vecdb/module.py."""
