"""Checks the files that keep object code: whole or absent, private, and never in the way."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from vecdb.kernels.cache import SUFFIX, ObjectCode, cache_directory, read_object, write_object

CODE = ObjectCode(arity=5, code=bytes(range(256)) * 3)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_object(tmp_path, "one", CODE)
    assert read_object(tmp_path, "one") == CODE
    assert [path.name for path in tmp_path.iterdir()] == [f"one{SUFFIX}"]


def test_a_missing_kernel_is_none(tmp_path: Path) -> None:
    assert read_object(tmp_path, "one") is None


def test_no_damaged_byte_goes_unnoticed(tmp_path: Path) -> None:
    write_object(tmp_path, "one", ObjectCode(5, b"short code"))
    path = tmp_path / f"one{SUFFIX}"
    sound = path.read_bytes()
    for place in range(len(sound)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 0x10]) + sound[place + 1 :])
        assert read_object(tmp_path, "one") is None


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    write_object(tmp_path, "one", ObjectCode(5, b"short code"))
    path = tmp_path / f"one{SUFFIX}"
    sound = path.read_bytes()
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        assert read_object(tmp_path, "one") is None


def test_a_kernel_under_the_name_of_another_is_none(tmp_path: Path) -> None:
    write_object(tmp_path, "one", CODE)
    (tmp_path / f"one{SUFFIX}").rename(tmp_path / f"two{SUFFIX}")
    assert read_object(tmp_path, "two") is None


def test_an_unwritable_directory_costs_the_saving_only(tmp_path: Path) -> None:
    write_object(tmp_path / "missing", "one", CODE)
    assert not list(tmp_path.iterdir())


def test_an_unusable_directory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("VECDB_CACHE_DIR", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_directory("key").is_relative_to(tmp_path / "home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    fallback = cache_directory("key")
    assert fallback.name.startswith("vecdb-kernels-")
    assert stat.S_IMODE(fallback.stat().st_mode) == 0o700
    fallback.rmdir()
