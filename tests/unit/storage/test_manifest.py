"""MANIFEST: what makes a directory a database, and what it is when it is none."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from vecdb.config import FORMAT_VERSION
from vecdb.errors import CorruptionError, DatabaseNotFoundError, FormatVersionError, NotADatabaseError
from vecdb.storage.environment import Environment
from vecdb.storage.manifest import MANIFEST_NAME, new_manifest, read_manifest, write_manifest


def rewrite(directory: Path, **changes: object) -> None:
    """Change members of a MANIFEST and give it a fitting checksum."""
    path = directory / MANIFEST_NAME
    body: dict[str, Any] = json.loads(path.read_text()) | changes
    del body["crc32"]
    body["crc32"] = zlib.crc32(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
    path.write_text(json.dumps(body))


def test_a_manifest_reads_back_as_written(tmp_path: Path) -> None:
    manifest = new_manifest(1 << 30)
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_a_missing_directory_holds_no_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFoundError):
        Environment.open_directory(tmp_path / "nothing", create=False)


def test_a_reader_never_creates_a_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseNotFoundError):
        Environment.open_directory(tmp_path / "nothing", mode="r")
    assert not (tmp_path / "nothing").exists()


def test_an_empty_directory_becomes_a_database(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    Environment.open_directory(tmp_path / "db").close()
    assert read_manifest(tmp_path / "db").format_version == FORMAT_VERSION


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(NotADatabaseError):
        Environment.open_directory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(NotADatabaseError):
        Environment.open_directory(tmp_path / "file")


def test_the_manifest_of_something_else_is_refused(directory: Path, environment: Environment) -> None:
    environment.close()
    rewrite(directory, magic="otherdb")
    with pytest.raises(NotADatabaseError):
        Environment.open_directory(directory)


def test_a_newer_format_is_refused_with_its_number(directory: Path, environment: Environment) -> None:
    environment.close()
    rewrite(directory, format_version=FORMAT_VERSION + 1)
    with pytest.raises(FormatVersionError, match=str(FORMAT_VERSION + 1)):
        Environment.open_directory(directory)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"magic": "vecdb"}', b"[" * 100_000])
def test_a_manifest_that_cannot_be_read_is_corruption(
    directory: Path, environment: Environment, content: bytes
) -> None:
    environment.close()
    (directory / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(CorruptionError):
        Environment.open_directory(directory)


def test_every_changed_byte_of_a_manifest_is_noticed(tmp_path: Path) -> None:
    write_manifest(tmp_path, new_manifest(1 << 30))
    raw = (tmp_path / MANIFEST_NAME).read_bytes()
    unnoticed = []
    for place, byte in enumerate(raw):
        (tmp_path / MANIFEST_NAME).write_bytes(raw[:place] + bytes([byte ^ 4]) + raw[place + 1 :])
        try:
            changed = read_manifest(tmp_path)
        except (CorruptionError, NotADatabaseError):
            continue
        unnoticed.append((place, changed))
    assert not unnoticed


@pytest.mark.parametrize(
    "changes", [{"uuid": "no uuid"}, {"uuid": 5}, {"map_bytes": -1}, {"map_bytes": "much"}, {"format_version": 0}]
)
def test_impossible_members_are_corruption(tmp_path: Path, changes: dict[str, object]) -> None:
    write_manifest(tmp_path, new_manifest(1 << 30))
    rewrite(tmp_path, **changes)
    with pytest.raises(CorruptionError):
        read_manifest(tmp_path)


def test_readers_learn_of_a_larger_map_from_the_manifest(directory: Path, environment: Environment) -> None:
    environment.close()
    Environment.open_directory(directory, map_bytes=1 << 33).close()
    assert read_manifest(directory).map_bytes == 1 << 33
