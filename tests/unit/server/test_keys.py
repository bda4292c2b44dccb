"""The file of keys, and who is let in by it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vecdb.errors import InvalidConfigError, PermissionDeniedError, UnauthenticatedError
from vecdb.server.keyfile import Key, change_keys, make_key, read_keys
from vecdb.server.keyring import KeyRing
from vecdb.server.principals import Principal, Scope


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "keys.json")


def _add(path: str, **options: Any) -> tuple[Key, str]:
    grants: dict[str, Scope] = options.pop("grants", {"*": "admin"})
    key, spoken = make_key(options.pop("name", "test"), grants, **options)
    change_keys(path, lambda held: [*held, key])
    return key, spoken


def _write(path: str, content: str) -> None:
    Path(path).write_text(content)
    Path(path).chmod(0o600)


def _refusal(ring: KeyRing, key: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        ring.authenticate(key)
    return caught.value.message


# --- the file -------------------------------------------------------------------------------------------------------


def test_keys_read_back_as_they_were_written(path: str) -> None:
    key, _ = _add(path, grants={"docs": "write", "*": "read"}, certificate="loader.example.com")
    assert read_keys(path) == [key]


def test_the_file_has_no_secret_and_is_for_its_owner_alone(path: str) -> None:
    _, spoken = _add(path)
    assert spoken.split("_", 2)[2] not in Path(path).read_text()
    assert Path(path).stat().st_mode & 0o777 == 0o600


def test_a_key_has_256_random_bits(path: str) -> None:
    secrets = {_add(path)[1].split("_", 2)[2] for _ in range(3)}
    assert {len(secret) for secret in secrets} == {43}
    assert len(secrets) == 3


def test_changing_the_file_leaves_nothing_beside_it(path: str) -> None:
    _add(path)
    assert [entry.name for entry in Path(path).parent.iterdir()] == ["keys.json"]


def test_changes_at_the_same_time_all_count(path: str) -> None:
    threads = [threading.Thread(target=_add, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(path)) == 8


def test_a_file_that_others_may_read_is_refused(path: str) -> None:
    _add(path)
    Path(path).chmod(0o640)
    with pytest.raises(InvalidConfigError, match="chmod 600"):
        read_keys(path)


GOOD = {
    "id": "abcdefgh",
    "name": "n",
    "sha256": "0" * 64,
    "grants": {"*": "read"},
    "created": "2026-01-01T00:00:00Z",
    "expires": None,
    "certificate": None,
}


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "../../etc"},
        {"id": "ABCDEFGH"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": 3},
        {"sha256": ""},
        {"sha256": "0" * 63},
        {"sha256": "z" * 64},
        {"grants": {}},
        {"grants": {"*": "root"}},
        {"grants": {"*": ["read"]}},
        {"grants": {"../x": "read"}},
        {"grants": "read"},
        {"created": "yesterday"},
        {"created": "2026-01-01T00:00:00"},
        {"expires": 5},
        {"expires": "soon"},
        {"certificate": ""},
        {"certificate": 5},
        {"secret": "x"},
    ],
    ids=str,
)
def test_an_entry_that_is_not_as_it_should_be_is_refused(path: str, change: dict[str, Any]) -> None:
    _write(path, json.dumps({"version": 1, "keys": [{**GOOD, **change}]}))
    with pytest.raises(InvalidConfigError, match="key 1 of"):
        read_keys(path)


@pytest.mark.parametrize("attribute", ["id", "sha256", "certificate"])
def test_two_keys_never_share_what_tells_them_apart(path: str, attribute: str) -> None:
    first = {**GOOD, "certificate": "a"}
    second = {**GOOD, "id": "hgfedcba", "sha256": "1" * 64, "certificate": "b", attribute: first[attribute]}
    _write(path, json.dumps({"version": 1, "keys": [first, second]}))
    with pytest.raises(InvalidConfigError, match=f"same {attribute}"):
        read_keys(path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", '{"version": 2, "keys": []}', '{"version": 1, "keys": {}}', "[" * 100_000]
)
def test_a_file_that_is_something_else_is_refused(path: str, content: str) -> None:
    _write(path, content)
    with pytest.raises(InvalidConfigError, match=r"keys\.json"):
        read_keys(path)


# --- who is let in --------------------------------------------------------------------------------------------------


def test_a_key_lets_its_principal_in(path: str) -> None:
    key, spoken = _add(path, grants={"docs": "write"})
    assert KeyRing(path).authenticate(spoken) == Principal(key.id, {"docs": "write"})


def test_whatever_is_wrong_with_a_key_the_text_is_the_same(path: str) -> None:
    key, spoken = _add(path)
    _, other = _add(path)
    _, expired = _add(path, expires=datetime.now(UTC) - timedelta(seconds=2))
    wrong_secret = f"vk_{key.id}_{other.split('_', 2)[2]}"
    unknown = spoken.replace(key.id, "00000000")
    ring = KeyRing(path)
    texts = {
        _refusal(ring, bad) for bad in (wrong_secret, unknown, expired, "", "vk_", spoken + "x", "\udc80", "é" * 99)
    }
    assert len(texts) == 1


def test_a_key_is_valid_until_it_expires(path: str) -> None:
    _, spoken = _add(path, expires=datetime.now(UTC) + timedelta(hours=1))
    assert KeyRing(path).authenticate(spoken).may("admin")


def test_a_new_key_counts_without_a_restart(path: str) -> None:
    _add(path)
    ring = KeyRing(path)
    key, spoken = _add(path)
    assert ring.authenticate(spoken).id == key.id


def test_a_revoked_key_is_refused_without_a_restart(path: str) -> None:
    _, spoken = _add(path)
    ring = KeyRing(path)
    ring.authenticate(spoken)
    change_keys(path, lambda _held: [])
    assert _refusal(ring, spoken)


def test_a_broken_file_leaves_the_keys_as_they_were(path: str, caplog: pytest.LogCaptureFixture) -> None:
    key, spoken = _add(path)
    ring = KeyRing(path)
    _write(path, "{")
    assert ring.authenticate(spoken).id == key.id
    assert "the keys stay as they were" in caplog.text


def test_a_file_that_became_readable_to_others_is_not_taken(path: str) -> None:
    _, old = _add(path)
    ring = KeyRing(path)
    _, new = _add(path)
    Path(path).chmod(0o644)
    assert ring.authenticate(old).may("admin")
    assert _refusal(ring, new)


def test_without_the_file_nobody_is_let_in(path: str) -> None:
    _, spoken = _add(path)
    ring = KeyRing(path)
    Path(path).unlink()
    assert _refusal(ring, spoken)


def test_a_server_does_not_start_without_its_file(path: str) -> None:
    with pytest.raises(InvalidConfigError, match="vecdb keys create"):
        KeyRing(path)


def test_a_certificate_may_stand_for_a_key(path: str) -> None:
    key, _ = _add(path, certificate="loader")
    assert KeyRing(path).recognise(["loader", "other"]).id == key.id


def test_a_certificate_that_stands_for_nothing_or_for_two_is_refused(path: str) -> None:
    _add(path, certificate="a")
    _add(path, certificate="b")
    for names in ([], ["c"], ["a", "b"]):
        with pytest.raises(UnauthenticatedError):
            KeyRing(path).recognise(names)


# --- what they may do -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "allowed"), [("read", {"read"}), ("write", {"read", "write"}), ("admin", {"read", "write", "admin"})]
)
def test_a_scope_has_all_of_the_smaller_ones(granted: Scope, allowed: set[Scope]) -> None:
    scopes: tuple[Scope, ...] = ("read", "write", "admin")
    assert {scope for scope in scopes if Principal("p", {"docs": granted}).may(scope, "docs")} == allowed


def test_a_grant_on_a_collection_is_for_that_collection_alone() -> None:
    principal = Principal("p", {"docs": "admin"})
    assert not principal.may("read", "doc")
    assert not principal.may("read", "")
    assert not principal.may("read")


def test_a_grant_on_everything_is_for_the_database_too() -> None:
    assert Principal("p", {"*": "write"}).may("write")


def test_a_collection_cannot_be_named_so_as_to_mean_everything() -> None:
    assert not Principal("p", {"docs": "read"}).may("read", "*")


def test_a_denial_does_not_tell_whether_the_collection_exists() -> None:
    texts = set()
    for name in ("there", "gone"):
        with pytest.raises(PermissionDeniedError) as caught:
            Principal("p", {"docs": "read"}).require("read", name)
        texts.add(caught.value.message.replace(name, "NAME"))
    assert len(texts) == 1
