"""Runs the benchmarks: `python -m benchmarks kernels|engine [options]`; without a name, both, one after the other."""

from __future__ import annotations

import sys

from benchmarks import engine, kernel_vs_hnswlib

SUITES = {"kernels": kernel_vs_hnswlib.main, "engine": engine.main}


def main() -> None:
    """Run the suites named on the command line with the options behind them."""
    names = [sys.argv.pop(1)] if len(sys.argv) > 1 and sys.argv[1] in SUITES else list(SUITES)
    for name in names:
        print(f"== {name}", flush=True)
        SUITES[name]()


if __name__ == "__main__":
    main()
