"""Part of the benchmark harness."""
