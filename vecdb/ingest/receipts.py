"""Notices, before anything else is loaded, that a run would have nothing to do.

A run that left everything true writes a receipt, under the words of its command line: what it read (size, time and
inode of each file, and a hash of it), the journal as it left it, and where the collection stood. When the same words
come again, and all of that is still so, a run is over in a tenth of the time that its modules take to load.
Promises: what is compared is what a run compares: files by their state, or by their content when they were only
touched; the journal by its own; the destination by its identity, its newest commit, the number of its records and the
models of its fields. Whatever differs, is not known or goes wrong leads to a run in full. Only files, the built-in
model and servers on this machine without TLS have receipts. A run that a receipt answers is not in the history.
Concurrency: a receipt is replaced as a whole; a journal that another process writes to is not the one that was left.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

FORM: Final = 1
DIRECTORY: Final = "receipts"
VARIABLES: Final = "VECDB_"
PLACES: Final = ("HOME", "XDG_STATE_HOME")
SETTLE_NS: Final = 2_000_000_000
"""As for runs: a file changed this recently may change again within the grain of its clock."""

DIGEST_BYTES: Final = 8 * 1024 * 1024
"""Read at a time, of a file that was touched."""

Facts = dict[str, Any]


def place_of(words: Sequence[str], environment: Mapping[str, str], version: str) -> str | None:
    """Where the receipt of a command line lies; None where that takes reading more than its words."""
    if words[:2] != ["ingest", "run"] or "VECDB_INGEST_CONFIG" in environment:
        return None
    state = environment.get("VECDB_INGEST_STATE")
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in {"--config", "--reread", "--metrics-listen", "-h", "--help"}:
            return None
        if name == "--state":
            state = value if equals else "".join(words[number + 1 : number + 2])
    if not state:
        home = environment.get("XDG_STATE_HOME", "")
        base = home if home.startswith("/") else os.path.expanduser("~/.local/state")
        state = f"{base}/vecdb/ingest"
    said = [version, os.getcwd(), *words]
    said += [f"{name}={value}" for name, value in sorted(environment.items()) if is_told(name)]
    digest = hashlib.blake2b("\0".join(said).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return os.path.join(os.path.realpath(os.path.expanduser(state)), DIRECTORY, digest)


def is_told(variable: str) -> bool:
    """Whether an environment variable may change what a run does."""
    return variable in PLACES or (variable.startswith(VARIABLES) and "KEY" not in variable)


def state_of(path: str) -> list[int]:
    """What changes when a file does."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns, found.st_ino] if stat.S_ISREG(found.st_mode) else []


def write(place: str, facts: Facts) -> None:
    """Leave a receipt. What cannot be written is left out: it saves time and nothing else."""
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        written = f"{place}.{os.getpid()}"
        with open(written, "w", encoding="utf-8") as file:
            json.dump({"form": FORM, **facts}, file)
        os.replace(written, place)


def forget(place: str | None) -> None:
    """Take a receipt back, before anything that it says may change."""
    if place is not None:
        with contextlib.suppress(OSError):
            os.unlink(place)


def still_true(place: str) -> Facts | None:
    """The receipt, if everything is as it says; None where a run has to see."""
    try:
        with open(place, encoding="utf-8") as file:
            facts: Facts = json.load(file)
        if facts["form"] != FORM or any(state_of(path) != seen for path, seen in facts["kept"].items()):
            return None
        states = [_is_untouched(part) for part in facts["parts"]]
        touched = [part for part, untouched in zip(facts["parts"], states, strict=True) if not untouched]
        if None in states:
            return None
        same: list[bool] = []
        # beside the question to the server, for which gRPC has to be loaded
        reading = threading.Thread(target=lambda: same.extend(map(_is_same, touched)), daemon=True)
        if touched:
            reading.start()
        stands = _stands(facts)
        if touched:
            reading.join()
        if not stands or same != [True] * len(touched):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if touched:
        write(place, facts)
    return facts


def _is_untouched(part: Facts) -> bool | None:
    """Whether a file is as it was by its state; False when its content has to tell, None when it cannot be the same."""
    now = state_of(part["path"])
    if not now or now[0] != part["state"][0]:
        return None
    return _is_settled(now) and now == part["state"]


def _is_settled(state: list[int]) -> bool:
    return abs(time.time_ns() - state[1]) >= SETTLE_NS


def _is_same(part: Facts) -> bool:
    """Whether a file has the same content, which is noted down.

    One that was touched just now is compared by its content again next time.
    """
    try:
        now = state_of(part["path"])
        if _digest(part["path"], len(part["digest"]) // 2) != part["digest"] or state_of(part["path"]) != now:
            return False
    except (OSError, ValueError, TypeError):
        return False
    if _is_settled(now):
        part["state"] = now
    return True


def _digest(path: str, size: int) -> str:
    """The hash of a file, in few steps: after each it waits for the thread that loads something."""
    made = hashlib.blake2b(digest_size=size)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(DIGEST_BYTES):
            made.update(block)
    return made.hexdigest()


def _stands(facts: Facts) -> bool:
    """Whether the collection has what it had, as far as its numbers tell."""
    from vecdb.client.glimpse import glimpse  # noqa: PLC0415 - gRPC takes longer to load than all before

    variable = facts["api_key_env"]
    seen = glimpse(facts["address"], facts["collection"], os.environ.get(variable) if variable else None)
    return (
        seen is not None
        and seen.uuid == facts["uuid"]
        and seen.fields == facts["fields"]
        and seen.seq >= facts["seq"]
        and seen.records >= facts["stored"]
    )


def tell(facts: Facts, seconds: float, *, as_json: bool, progress: str) -> None:
    """Print what a run with nothing to do prints."""
    report = facts["report"] | {"seconds": round(seconds, 3)}
    if progress == "json":
        lines: list[Facts] = [{"event": "started", "pid": os.getpid(), **facts["to"]}]
        lines += ({"event": "part", "part": part["key"], **facts["unchanged"]} for part in facts["parts"])
        lines += ({"event": "source", "source": name, "complete": True} for name in facts["sources"])
        lines.append({"event": "ended", "outcome": "done", **report})
        sys.stderr.write("".join(_line(one) for one in lines))
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    else:
        items = report["counts"]["skipped"]
        found = f"{items:,} item{'' if items == 1 else 's'} in {seconds:.2g} s, {items / seconds:,.0f} items/s"
        sys.stdout.write(f"{found}: 0 new, 0 changed, {items:,} unchanged, 0 deleted, 0 failed\n")


def _line(facts: Facts) -> str:
    now = time.time()
    told = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}+00:00"
    return json.dumps({"time": told, **facts}, ensure_ascii=False, separators=(",", ":")) + "\n"
