"""What a client of the database knows: the operation it sent and, fsynced, that it was acknowledged.

One file per writing thread and round: a first line with the state at the round's start, then a line per intended
operation and a line per acknowledgement. A torn last line is one that was never finished.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.workload import Operation, State


@dataclass(frozen=True, slots=True)
class Replay:
    """What a journal says: the acknowledged state, and the one operation that may or may not have happened."""

    state: State
    pending: Operation | None
    acknowledged: int
    seq: int
    version: int


class Journal:
    """Appends to the journal of one thread. Not shared between threads."""

    def __init__(self, path: Path, state: State, version: int) -> None:
        """Create the file at once, complete and synced, with the state it starts from."""
        base = {"base": [[key, *versions] for key, versions in state.items()], "version": version}
        temporary = path.with_suffix(".new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(base) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self._file = path.open("a", encoding="utf-8")

    def intend(self, operation: Operation) -> None:
        """Note what is about to be sent. No sync: a SIGKILL does not lose what was written to the file."""
        self._write({"op": [operation.kind, list(operation.keys), operation.version]})

    def acknowledge(self, seq: int) -> None:
        """Note, durably, that the last intended operation was acknowledged."""
        self._write({"ack": seq})
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; a killed process never gets here."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def latest_journal(directory: Path, partition: int) -> Path | None:
    """The journal of the partition's last round, or None before the first."""
    found = sorted(directory.glob(f"partition-{partition}-round-*.jsonl"))
    return found[-1] if found else None


def journal_path(directory: Path, partition: int, rounds: int) -> Path:
    """Where the journal of a partition and round lies; names sort by round."""
    return directory / f"partition-{partition}-round-{rounds:06d}.jsonl"


def replay(path: Path) -> Replay:
    """Read a journal back."""
    state: State = {}
    pending: Operation | None = None
    acknowledged = seq = version = 0
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break  # the line being written when the process was killed
        if "base" in line:
            state = {key: (vector, metadata) for key, vector, metadata in line["base"]}
            version = line["version"]
        elif "op" in line:
            kind, keys, version = line["op"]
            pending = Operation(kind, tuple(keys), version)
        else:
            assert pending is not None, f"{path}: an acknowledgement without an operation"
            state, pending = pending.applied(state), None
            acknowledged, seq = acknowledged + 1, line["ack"]
    return Replay(state, pending, acknowledged, seq, version)
