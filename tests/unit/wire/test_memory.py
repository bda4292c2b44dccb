"""Memory of one call that is kept for the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from vecdb.wire.memory import keep_memory

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        first, second = b"a" * 150_000, b"b" * 200_000
        del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

before = faults()
keep_memory()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc learns from what is freed")
def test_what_large_calls_give_back_is_kept_for_the_next_ones() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < 400 < before, (before, after)
