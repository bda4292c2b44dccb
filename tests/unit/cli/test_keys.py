"""`vecdb keys`: what is printed, what is stored, and how a key comes to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from vecdb.errors import UnauthenticatedError
from vecdb.server.keyring import KeyRing


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def _create(shell: Shell, file: Path, *words: str) -> tuple[str, str]:
    made = shell("keys", "create", "--keys", file, "--name", "loader", "--json", *words).document
    return made["id"], made["key"]


def test_a_created_key_is_printed_alone_and_works(shell: Shell, file: Path) -> None:
    outcome = shell("keys", "create", "--keys", file, "--name", "loader")
    assert outcome.out.count("\n") == 1
    assert KeyRing(str(file)).authenticate(outcome.out.strip()).grants == {"*": "read"}


def test_a_key_is_limited_to_what_it_is_made_for(shell: Shell, file: Path) -> None:
    _, key = _create(shell, file, "--scope", "write", "--collection", "docs", "--collection", "notes")
    assert KeyRing(str(file)).authenticate(key).grants == {"docs": "write", "notes": "write"}


def test_the_list_has_no_secrets(shell: Shell, file: Path) -> None:
    key_id, key = _create(shell, file)
    for words in ([], ["--json"]):
        listed = shell("keys", "list", "--keys", file, *words).out
        assert key_id in listed
        assert key.rpartition("_")[2] not in listed
        assert "sha256" not in listed


def test_a_revoked_key_is_gone(shell: Shell, file: Path) -> None:
    key_id, key = _create(shell, file)
    assert shell("keys", "revoke", key_id, "--keys", file).code == 0
    with pytest.raises(UnauthenticatedError):
        KeyRing(str(file)).authenticate(key)


def test_a_rotated_key_has_the_same_grants_and_the_old_one_runs_out(shell: Shell, file: Path) -> None:
    key_id, old = _create(shell, file, "--scope", "write", "--collection", "docs")
    new = shell("keys", "rotate", key_id, "--keys", file, "--json").document["key"]
    ring = KeyRing(str(file))
    assert ring.authenticate(new).grants == ring.authenticate(old).grants == {"docs": "write"}
    entries = {entry["id"]: entry for entry in shell("keys", "list", "--keys", file, "--json").document["keys"]}
    assert entries[key_id]["expires"] is not None


def test_a_key_rotated_without_grace_is_refused_at_once(shell: Shell, file: Path) -> None:
    key_id, old = _create(shell, file)
    shell("keys", "rotate", key_id, "--keys", file, "--grace", "0s")
    with pytest.raises(UnauthenticatedError):
        KeyRing(str(file)).authenticate(old)


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_a_key_that_is_not_there_is_not_found(shell: Shell, file: Path, command: str) -> None:
    _create(shell, file)
    outcome = shell("keys", command, "00000000", "--keys", file, "--json")
    assert (outcome.code, outcome.document["error"]["reason"]) == (1, "KEY_NOT_FOUND")


@pytest.mark.parametrize(
    "words",
    [["--scope", "root"], ["--expires", "soon"], ["--expires", "-1d"], ["--collection", "../x"], ["--collection", ""]],
    ids=" ".join,
)
def test_a_key_that_makes_no_sense_is_not_made(shell: Shell, file: Path, words: list[str]) -> None:
    assert shell("keys", "create", "--keys", file, "--name", "n", *words).code == 2
    assert not file.exists()


def test_a_missing_file_is_not_found(shell: Shell, file: Path) -> None:
    assert shell("keys", "list", "--keys", file).code == 1


def test_a_missing_folder_is_a_typed_error(shell: Shell, tmp_path: Path) -> None:
    outcome = shell("keys", "create", "--keys", tmp_path / "none" / "k.json", "--name", "n")
    assert outcome.code == 2
    assert outcome.err.startswith("vecdb: cannot write keys")


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_a_key_may_be_called_by_its_name(shell: Shell, file: Path, command: str) -> None:
    key_id, _ = _create(shell, file)
    done = shell("keys", command, "loader", "--keys", file, "--json")
    assert done.code == 0
    listed = shell("keys", "list", "--keys", file, "--json").document["keys"]
    assert [key["id"] for key in listed if key["expires"] is None] == (
        [] if command == "revoke" else [listed[-1]["id"]]
    )
    assert listed[-1:] == [] or listed[-1]["id"] != key_id


def test_a_name_that_several_keys_have_names_none(shell: Shell, file: Path) -> None:
    ids = [_create(shell, file)[0] for _ in range(2)]
    refused = shell("keys", "revoke", "loader", "--keys", file)
    assert refused.code == 2
    assert all(key_id in refused.err for key_id in ids)
    assert len(shell("keys", "list", "--keys", file, "--json").document["keys"]) == 2
