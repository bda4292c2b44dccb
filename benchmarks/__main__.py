"""Runs the harness: `python -m benchmarks run|report|compare ...`, and two short measurements beside hnswlib alone.

`python -m benchmarks index --data DIR` compares the index kernels, `engine --data DIR` measures the whole engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Final

SHORT: Final = {"index": "benchmarks.kernel_vs_hnswlib", "engine": "benchmarks.engine"}


def main() -> None:
    """Run what the first argument names."""
    if len(sys.argv) > 1 and sys.argv[1] in SHORT:
        module = import_module(SHORT[sys.argv.pop(1)])
    else:
        module = import_module("benchmarks.command_line")
    run: Callable[[], None] = module.main
    run()


if __name__ == "__main__":
    main()
