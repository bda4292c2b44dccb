"""Where the ingestor's settings come from, what is checked, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vecdb.errors import InvalidConfigError, VecDBError
from vecdb.ingest.chunkers.choosing import CHUNKERS
from vecdb.ingest.operation.settings import IngestSettings, load_settings, settings
from vecdb.ingest.sources.options import NAMES
from vecdb.ingest.sources.spec import open_source

GIVEN: dict[str, Any] = {"sources": ["-"], "to": "data", "collection": "docs"}
NUMBERS = [
    name
    for name, field in settings().items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


def _toml(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_environment_wins_over_the_file_and_a_flag_over_both(tmp_path: Path) -> None:
    file = _toml(tmp_path / "i.toml", "readers = 2\nchunk_tokens = 100\ncollection = 'file'\n")
    environment = {"VECDB_INGEST_CHUNK_TOKENS": "101", "VECDB_INGEST_COLLECTION": "environment"}
    found = load_settings({"sources": ["-"], "to": "data", "collection": "flag"}, environment, file)
    assert (found.readers, found.chunk_tokens, found.collection) == (2, 101, "flag")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = _toml(tmp_path / "i.toml", "sources = ['-']\nto = 'data'\ncollection = 'docs'\n")
    assert load_settings({}, {"VECDB_INGEST_CONFIG": str(file)}).collection == "docs"


def test_text_and_number_of_a_setting_mean_the_same(tmp_path: Path) -> None:
    spelled = "queue_bytes = 33554432\nretry_for_s = 2.5\nreread = true\n[model_option]\ndim = 3\nurl = 'http://x'\n"
    file = load_settings(GIVEN, {}, _toml(tmp_path / "i.toml", spelled))
    flags = {"queue_bytes": "32MiB", "retry_for_s": "2.5", "reread": True, "model_option": ["dim=3", "url=http://x"]}
    assert load_settings(GIVEN | flags, {}) == file


def test_an_unknown_key_of_the_file_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    file = _toml(tmp_path / "i.toml", "chunk_token = 3\n")
    with pytest.raises(InvalidConfigError, match=r"chunk_token in .*i\.toml.*did you mean chunk_tokens\?"):
        load_settings(GIVEN, {}, file)


def test_an_unknown_variable_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(InvalidConfigError, match=r"VECDB_INGEST_READER: .*did you mean readers\?"):
        load_settings(GIVEN, {"VECDB_INGEST_READER": "3"})


def test_variables_of_the_server_are_left_alone() -> None:
    others = {"VECDB_DATA": "d", "VECDB_API_KEY": "k", "HOME": "/"}
    assert load_settings(GIVEN, others) == load_settings(GIVEN, {})


@pytest.mark.parametrize(
    ("name", "said"), [("sources", "vecdb ingest run"), ("to", "--to"), ("collection", "--collection")]
)
def test_what_must_be_given_is_asked_for(name: str, said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        load_settings({key: value for key, value in GIVEN.items() if key != name}, {})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["-1", str(2**63), "nan", "", "3x", True, [1]])
def test_no_number_takes_what_makes_no_sense(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=name.replace("_", "-")):
        load_settings(GIVEN | {name: value}, {})


@pytest.mark.parametrize("name", [name for name in settings() if name not in GIVEN])
def test_every_default_is_within_its_own_limits(name: str) -> None:
    field = settings()[name]
    if field.default is not None:
        assert field.metadata["kind"](field.default, name) == field.default


def test_a_value_is_checked_in_python_too() -> None:
    with pytest.raises(InvalidConfigError, match="chunker is 'words'"):
        IngestSettings(**GIVEN, chunker="words")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chunk_tokens": 40, "chunk_overlap": 21}, "half of chunk_tokens"),
        ({"tls_cert": "c.pem"}, "tls_cert and tls_key"),
        ({"metrics_listen": "0.0.0.0:9"}, "--insecure"),
        ({"model_option": {"api_key": "sk-1"}}, "key_env=NAME"),
        ({"model_option": ["dim"]}, "NAME=VALUE"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        IngestSettings(**GIVEN | given)


def test_the_value_of_a_secret_given_as_an_option_is_not_repeated() -> None:
    with pytest.raises(InvalidConfigError) as raised:
        IngestSettings(**GIVEN, model_option={"api_key": "sk-very-secret"})
    assert "sk-very-secret" not in str(raised.value)


def test_every_option_of_a_source_is_a_setting_unless_it_belongs_to_one_source_alone() -> None:
    shared = {name.replace("-", "_") for name in NAMES} - {"collection", "api_key_env", "tls"}
    assert set(IngestSettings(**GIVEN).read_options) - {"sources"} == shared


def test_the_options_of_sources_reach_them(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    given = IngestSettings(**GIVEN | {"sources": [str(tmp_path)]}, text_field="body", include=("*.jsonl",))
    source: Any = open_source(given.sources[0], given.read_options)
    assert (source.options.text_field, source.options.include) == ("body", ("*.jsonl",))


def test_the_key_of_a_server_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_KEY", "vecdb_1")
    assert IngestSettings(**GIVEN, api_key_env="DOCS_KEY").connection["api_key"] == "vecdb_1"


def test_the_key_of_a_server_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("vecdb_2\n")
    found = IngestSettings(**GIVEN, api_key_file=str(tmp_path / "key"))
    assert (found.connection["api_key"], "vecdb_2" in repr(found)) == ("vecdb_2", False)


@pytest.mark.parametrize("given", [{"api_key_env": "NO_SUCH_VARIABLE"}, {"api_key_file": "/no/such/file"}])
def test_a_key_that_is_not_where_it_was_said_to_be_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(VecDBError, match=next(iter(given))):
        _ = IngestSettings(**GIVEN, **given).connection


def test_the_help_names_every_chunker() -> None:
    assert not [name for name in CHUNKERS if name not in settings()["chunker"].metadata["help"]]
