"""Where settings come from, what is checked, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from vecdb.errors import InvalidConfigError
from vecdb.server.settings import ServerConfig, load_config, settings

TLS = {"tls_cert": "c.pem", "tls_key": "k.pem"}
NUMBERS = [
    name
    for name, field in settings().items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]
NOT_GIVEN = [name for name in settings() if name not in {"data", "listen"}]


def _toml(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_server_is_for_this_machine_unless_told_otherwise() -> None:
    assert all(address.is_local for address in ServerConfig(data="d").addresses)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = _toml(tmp_path / "v.toml", "data = 'd'\nmax_streams = 3\nthreads = 2\n")
    config = load_config({}, {"VECDB_MAX_STREAMS": "4"}, file)
    assert (config.max_streams, config.threads) == (4, 2)


def test_a_flag_wins_over_the_environment() -> None:
    assert load_config({"data": "d", "max_streams": "5"}, {"VECDB_MAX_STREAMS": "4"}).max_streams == 5


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = _toml(tmp_path / "v.toml", "data = 'elsewhere'\n")
    assert load_config({}, {"VECDB_CONFIG": str(file)}).data == "elsewhere"


def test_text_and_number_of_a_setting_mean_the_same(tmp_path: Path) -> None:
    spelled = "data = 'd'\nmax_in_flight_bytes = 67108864\ndrain_s = 2.5\ninsecure = true\n"
    file = load_config({}, {}, _toml(tmp_path / "v.toml", spelled))
    environment = {"VECDB_MAX_IN_FLIGHT_BYTES": "64MiB", "VECDB_DRAIN_S": "2.5", "VECDB_INSECURE": "yes"}
    assert load_config({"data": "d"}, environment) == file


def test_the_environment_lists_addresses_with_commas() -> None:
    config = load_config({"data": "d"}, {"VECDB_LISTEN": "127.0.0.1:1, unix:/tmp/s"})
    assert [str(address) for address in config.addresses] == ["127.0.0.1:1", "unix:/tmp/s"]


def test_an_unknown_key_of_the_file_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    file = _toml(tmp_path / "v.toml", "data = 'd'\nmax_streems = 3\n")
    with pytest.raises(InvalidConfigError, match=r"max_streems in .*v\.toml.*did you mean max_streams\?"):
        load_config({}, {}, file)


def test_an_unknown_variable_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(InvalidConfigError, match=r"VECDB_MAX_STREEMS.*did you mean max_streams\?"):
        load_config({"data": "d"}, {"VECDB_MAX_STREEMS": "3"})


def test_variables_of_other_parts_of_vecdb_are_left_alone() -> None:
    others = {"VECDB_CACHE_DIR": "/c", "VECDB_API_KEY": "k", "VECDB_INGEST_TO": "data", "HOME": "/"}
    assert load_config({"data": "d"}, others).data == "d"


def test_a_broken_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="no TOML"):
        load_config({}, {}, _toml(tmp_path / "v.toml", "data = [\n"))


def test_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="cannot read"):
        load_config({}, {}, tmp_path / "none.toml")


def test_data_must_be_given() -> None:
    with pytest.raises(InvalidConfigError, match="--data"):
        load_config({}, {})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", str(2**63), "9" * 400, "nan", "", "3x", "1e999", True, [1], None])
def test_no_number_takes_what_makes_no_sense(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=name.replace("_", "-")):
        load_config({"data": "d", name: value}, {})


@pytest.mark.parametrize("name", NOT_GIVEN)
def test_every_default_is_within_its_own_limits(name: str) -> None:
    field = settings()[name]
    if field.default is not None:
        assert field.metadata["kind"](field.default, name) == field.default


def test_a_value_is_checked_however_it_is_given() -> None:
    with pytest.raises(InvalidConfigError, match="threads is 0"):
        ServerConfig(data="d", threads=0)


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "db.example.com:1"])
@pytest.mark.parametrize("given", [{}, TLS, {"keys": "k.json"}], ids=["bare", "tls", "keys"])
def test_other_machines_are_not_served_without_both_tls_and_keys(listen: str, given: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError, match="--insecure"):
        ServerConfig(data="d", listen=(listen,), **given)  # type: ignore[arg-type]


def test_one_public_address_among_local_ones_is_enough_to_refuse() -> None:
    with pytest.raises(InvalidConfigError, match=r"0\.0\.0\.0:2"):
        ServerConfig(data="d", listen=("127.0.0.1:1", "0.0.0.0:2"))


@pytest.mark.parametrize(
    "given", [{**TLS, "keys": "k.json"}, {**TLS, "tls_client_ca": "ca.pem"}, {"insecure": True}], ids=str
)
def test_other_machines_are_served_with_tls_and_keys_or_when_that_is_insisted_on(given: dict[str, Any]) -> None:
    assert ServerConfig(data="d", listen=("0.0.0.0:1",), **given).addresses


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/run/vecdb.sock"])
def test_this_machine_is_served_without_more(listen: str) -> None:
    assert ServerConfig(data="d", listen=(listen,)).addresses


@pytest.mark.parametrize("given", [{"tls_cert": "c"}, {"tls_key": "k"}, {"tls_client_ca": "a"}], ids=str)
def test_half_of_what_tls_needs_is_an_error(given: dict[str, str]) -> None:
    with pytest.raises(InvalidConfigError, match="TLS"):
        ServerConfig(data="d", **given)  # type: ignore[arg-type]


def test_metrics_are_not_shown_to_other_machines() -> None:
    with pytest.raises(InvalidConfigError, match="metrics_listen"):
        ServerConfig(data="d", metrics_listen="0.0.0.0:9000")


def test_a_memory_database_has_no_workers() -> None:
    with pytest.raises(InvalidConfigError, match="workers"):
        ServerConfig(data=":memory:", workers=2)


def test_the_repr_shows_no_secret() -> None:
    assert "canary" not in repr(ServerConfig(data="d", token_secret="canary"))  # noqa: S106 - a canary


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ServerConfig(data="d").threads = 3  # type: ignore[misc]
