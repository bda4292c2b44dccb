"""`vecdb search` with a text: embedded by the collection's own model, in a directory and at a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vecdb
from tests.conformance.served_fronts import server_in_this_process
from tests.unit.cli.conftest import Shell
from vecdb.ingest.embedders.opening import open_embedder
from vecdb.ingest.embedders.protocol import Embedder

TEXTS = ["a cat sleeps on the sofa", "shares fell on the stock market", "bread is baked in an oven"]


@pytest.fixture(scope="module")
def builtin() -> Iterator[Embedder]:
    """The model in the package."""
    embedder = open_embedder("builtin")
    yield embedder
    embedder.close()


def fill(db: vecdb.Database | vecdb.RemoteDatabase, embedder: Embedder) -> None:
    """Make "texts", whose model is known, and "unknown", whose model is not."""
    rows = embedder.embed(TEXTS)
    for name, model in (("texts", embedder.fingerprint), ("unknown", None)):
        made = db.create_collection(name, dim=embedder.fingerprint.dim, model=model)
        made.upsert([0, 1, 2], rows, [{"text": text} for text in TEXTS])


@pytest.fixture
def texts(tmp_path: Path, builtin: Embedder) -> Path:
    """A directory with both."""
    with vecdb.open(tmp_path / "data") as db:
        fill(db, builtin)
    return tmp_path / "data"


def test_a_text_is_embedded_by_the_model_that_the_collection_stores(shell: Shell, texts: Path) -> None:
    document = shell("search", texts, "texts", "a kitten naps", "--limit", 1, "--json").document
    assert [hit["metadata"]["text"] for hit in document["hits"]] == [TEXTS[0]]


def test_a_text_is_searched_for_at_a_server(shell: Shell, builtin: Embedder) -> None:
    with server_in_this_process() as place:
        [address] = place.addresses
        with vecdb.connect(address) as db:
            fill(db, builtin)
        document = shell("search", address, "texts", "finance", "--limit", 1, "--json").document
        like = shell("search", address, "texts", "--like", 0, "--limit", 2, "--json").document
    assert [hit["id"] for hit in document["hits"]] == [1]
    assert sorted(hit["id"] for hit in like["hits"]) == [1, 2]


def test_a_collection_that_stores_no_model_takes_no_text(shell: Shell, texts: Path) -> None:
    outcome = shell("search", texts, "unknown", "a kitten naps")
    assert outcome.code == 2
    assert "--model" in outcome.err
    assert "set_model" in outcome.err


def test_a_model_may_be_named_where_none_is_stored(shell: Shell, texts: Path) -> None:
    document = shell("search", texts, "unknown", "a kitten naps", "--model", "builtin", "--limit", 1, "--json").document
    assert [hit["id"] for hit in document["hits"]] == [0]


def test_a_model_that_is_named_must_be_the_one_stored(shell: Shell, texts: Path) -> None:
    words = ("search", texts, "texts", "x", "--model", "callable:json:dumps", "--model-option", "dim=3", "--json")
    outcome = shell(*words)
    assert outcome.code == 2
    assert outcome.document["error"]["reason"] == "MODEL_MISMATCH"
    assert shell("search", texts, "texts", "x", "--model", "builtin", "--json").code == 0


def test_the_model_of_the_field_that_is_named_counts(shell: Shell, texts: Path, builtin: Embedder) -> None:
    with vecdb.open(texts) as db:
        docs = db.collection("unknown")
        docs.add_field("next", vecdb.Field(dim=builtin.fingerprint.dim, model=builtin.fingerprint))
        docs.set_vectors([2], {"next": builtin.embed(TEXTS[:1])})
    document = shell("search", texts, "unknown", "a kitten naps", "--field", "next", "--json").document
    assert [hit["id"] for hit in document["hits"]] == [2]


def test_like_means_the_main_field_while_another_is_being_filled(shell: Shell, texts: Path, builtin: Embedder) -> None:
    with vecdb.open(texts) as db:
        docs = db.collection("unknown")
        docs.add_field("next", vecdb.Field(dim=builtin.fingerprint.dim))
        docs.set_vectors([0], {"next": builtin.embed(TEXTS[:1])})
    outcome = shell("search", texts, "unknown", "--like", 0, "--limit", 2, "--json")
    assert sorted(hit["id"] for hit in outcome.document["hits"]) == [1, 2]


@pytest.mark.parametrize("words", [("text", "--like", "0"), ("--like", "0", "--model", "builtin")])
def test_a_text_and_another_kind_of_query_exclude_each_other(shell: Shell, texts: Path, words: tuple[str, ...]) -> None:
    assert shell("search", texts, "texts", *words).code == 2


def test_a_variable_for_the_key_that_is_not_there_is_a_wrong_request(shell: Shell) -> None:
    outcome = shell("search", "127.0.0.1:1", "docs", "x", "--api-key-env", "VECDB_NO_SUCH_KEY")
    assert outcome.code == 2
    assert "VECDB_NO_SUCH_KEY" in outcome.err


def test_info_shows_the_model_of_each_field(shell: Shell, texts: Path, builtin: Embedder) -> None:
    document = shell("info", texts, "--json").document
    known, unknown = document["collections"]
    assert known["fields"][0]["model"] == builtin.fingerprint.to_dict()
    assert unknown["fields"][0]["model"] is None
    assert "builtin:" in shell("info", texts, "texts").out
    assert "builtin:" not in shell("info", texts, "unknown").out
