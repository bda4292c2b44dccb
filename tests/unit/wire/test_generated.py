"""The committed code is what the generator writes, and the protocol keeps the rules of buf."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROTO = ROOT / "proto"
COMMITTED = ROOT / "vecdb" / "_pb"
SOURCES = sorted((PROTO / "vecdb" / "v1").glob("*.proto"))


def _texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_committed_code_is_what_the_generator_writes(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools generates the code; it comes with the dev extra")
    done = subprocess.run(
        [sys.executable, str(PROTO / "generate.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    generated, committed = _texts(tmp_path), _texts(COMMITTED)
    assert sorted(generated) == sorted(committed)
    stale = [name for name in generated if generated[name] != committed[name]]
    assert not stale, "run `make proto`"


def test_the_protocol_keeps_the_rules_of_buf() -> None:
    buf = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")
    if buf is None:
        pytest.skip("buf is not installed; it comes with the dev extra (buf-bin)")
    done = subprocess.run([buf, "lint", str(PROTO)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_file_of_the_protocol_has_a_module(source: Path) -> None:
    module = importlib.import_module(f"vecdb._pb.v1.{source.stem}_pb2")
    assert f"vecdb/v1/{source.name}" == module.DESCRIPTOR.name


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_number_is_used_twice_or_left_out_silently(source: Path) -> None:
    """A removed field leaves a `reserved` line, so that its number is never given to another."""
    module = importlib.import_module(f"vecdb._pb.v1.{source.stem}_pb2")
    text = source.read_text(encoding="utf-8")
    for message in module.DESCRIPTOR.message_types_by_name.values():
        numbers = sorted(field.number for field in message.fields)
        gaps = set(range(1, max(numbers, default=0) + 1)) - set(numbers)
        assert not gaps or re.search(r"^\s*reserved ", text, re.MULTILINE), f"{message.full_name} lacks {gaps}"


def test_methods_that_write_can_be_repeated_by_request_id() -> None:
    names = [f"vecdb._pb.v1.{name}_service_pb2" for name in ("record", "collection")]
    services = [next(iter(importlib.import_module(name).DESCRIPTOR.services_by_name.values())) for name in names]
    writes = re.compile("Create|Delete|Drop|Upsert|Insert|Update|Commit")
    lacking = [
        method.full_name
        for service in services
        for method in service.methods
        if writes.match(method.name) and "request_id" not in method.input_type.fields_by_name
    ]
    assert not lacking


READS = ("Get", "List", "Count", "Facet", "Aggregate", "Export", "MeasureRecall")


@pytest.mark.parametrize("source", [path for path in SOURCES if "_service" in path.stem], ids=lambda path: path.stem)
def test_methods_that_read_can_wait_for_a_commit(source: Path) -> None:
    module = importlib.import_module(f"vecdb._pb.v1.{source.stem}_pb2")
    lacking = [
        method.full_name
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name.startswith(READS) and "min_seq" not in method.input_type.fields_by_name
    ]
    assert not lacking
