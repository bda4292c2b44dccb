"""Benchmarks of vecdb beside its peers: `python -m benchmarks kernels|engine --data DIR`."""
