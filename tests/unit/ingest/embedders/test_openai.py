"""Tests the provider for services over HTTP against one on loopback that misbehaves when told to."""

from __future__ import annotations

import base64
import email.utils
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from tests.harness import embedding_service as services
from tests.harness.embedding_service import DIM, Service
from vecdb.errors import (
    InvalidConfigError,
    InvalidEmbeddingError,
    InvalidTextError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from vecdb.ingest.embedders.http_exchange import retry_after_s
from vecdb.ingest.embedders.openai import OpenAIEmbedder
from vecdb.ingest.embedders.protocol import Embedder

KEY = "sk-secret-0123456789"


@pytest.fixture
def service() -> Iterator[Service]:
    with services.running() as started:
        yield started


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


Make = Callable[..., OpenAIEmbedder]


@pytest.fixture
def make(service: Service) -> Iterator[Make]:
    """Makes embedders of the service, and closes them in the end."""
    made: list[OpenAIEmbedder] = []

    def making(**options: Any) -> OpenAIEmbedder:
        given: dict[str, Any] = {"dim": DIM, "normalize": False, "key_env": "TEST_KEY"} | options
        made.append(OpenAIEmbedder("small", url=service.url, **given))
        return made[-1]

    yield making
    for embedder in made:
        embedder.close()


def test_each_text_gets_the_row_that_the_service_made_of_it(make: Make) -> None:
    rows = make().embed(["abc", "de"])
    assert rows.dtype == np.float32
    assert rows.tolist() == [services.vector_of("abc"), services.vector_of("de")]


def test_rows_are_put_in_the_order_of_their_index(service: Service, make: Make) -> None:
    service.next(services.reply({"data": services.rows(["abc", "de"])[::-1]}))
    assert make().embed(["abc", "de"])[:, 0].tolist() == [3, 2]


def test_rows_are_scaled_to_unit_length_unless_told_otherwise(make: Make) -> None:
    rows = make(normalize=True).embed(["abc", "de"])
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1])


def test_rows_in_base64_are_read(service: Service, make: Make) -> None:
    packed = base64.b64encode(np.array([1, 2, 3, 4], "<f4").tobytes()).decode()
    service.next(services.reply({"data": [{"index": 0, "embedding": packed}]}))
    assert make(encoding="base64").embed(["a"]).tolist() == [[1, 2, 3, 4]]
    assert service.bodies[0]["encoding_format"] == "base64"


def test_the_dimension_is_asked_for_when_it_is_not_given(service: Service, make: Make) -> None:
    assert make(dim=None).fingerprint.dim == DIM
    assert len(service.bodies) == 1


def test_opening_with_a_dimension_sends_nothing(service: Service, make: Make) -> None:
    make()
    assert service.bodies == []


def test_no_request_has_more_texts_than_allowed(service: Service, make: Make) -> None:
    rows = make(batch_texts=2).embed(["a", "bb", "ccc", "dddd", "eeeee"])
    assert [len(body["input"]) for body in service.bodies] == [2, 2, 1]
    assert rows[:, 0].tolist() == [1, 2, 3, 4, 5]


def test_no_request_has_more_tokens_than_allowed(service: Service, make: Make) -> None:
    make(batch_tokens=10).embed(["a" * 20, "b" * 20, "c" * 20])
    assert [len(body["input"]) for body in service.bodies] == [2, 1]


def test_prompts_are_put_before_texts_by_their_role(service: Service, make: Make) -> None:
    embedder = make(document_prompt="passage: ", query_prompt="query: ")
    embedder.embed(["x"])
    embedder.embed(["x"], role="query")
    assert [body["input"] for body in service.bodies] == [["passage: x"], ["query: x"]]


def test_a_shorter_dimension_is_asked_of_the_service(service: Service, make: Make) -> None:
    embedder = make(dim=2, full_dim=DIM)
    assert embedder.embed(["abc"]).tolist() == [[3, 1]]  # this one does not cut; then it is cut here
    assert service.bodies[0]["dimensions"] == 2


def test_no_texts_make_no_request(service: Service, make: Make) -> None:
    assert make().embed([]).shape == (0, DIM)
    assert service.bodies == []


def test_an_empty_text_is_refused_before_anything_is_sent(service: Service, make: Make) -> None:
    with pytest.raises(InvalidTextError) as caught:
        make().embed(["a", " \n"])
    assert caught.value.details["index"] == 1
    assert service.bodies == []


def test_requests_share_one_connection(service: Service, make: Make) -> None:
    embedder = make()
    for _ in range(3):
        embedder.embed(["a"])
    assert len(service.connections) == 1


def test_threads_have_connections_of_their_own(service: Service, make: Make) -> None:
    embedder = make()
    texts = [["a" * (number + 1)] for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(embedder.embed, texts))
    assert [row[0, 0] for row in rows] == list(range(1, 21))
    assert len(service.connections) <= 4


def test_it_is_an_embedder_whose_tokens_are_estimated(make: Make) -> None:
    assert isinstance(make(), Embedder)
    assert make().count_tokens(["abcd", "abcde", "é"]) == [1, 2, 1]


def test_a_kept_connection_that_was_closed_is_opened_again(service: Service, make: Make) -> None:
    embedder = make()
    embedder.embed(["a"])
    service.next(services.hung_up)
    assert embedder.embed(["abc"])[0, 0] == 3
    assert len(service.connections) == 2


def test_a_service_that_closes_after_each_reply_is_served_by_new_connections(service: Service, make: Make) -> None:
    embedder = make()
    service.next(services.reply({"data": services.rows(["abc"])}, Connection="close"))
    assert embedder.embed(["abc"])[0, 0] == 3
    assert embedder.embed(["de"])[0, 0] == 2
    assert len(service.connections) == 2


# --- faults ---------------------------------------------------------------------------------------------------------


def test_a_refusal_for_now_says_how_long_to_wait(service: Service, make: Make) -> None:
    service.next(services.reply({"error": {"message": "slow down"}}, 429, Retry_After="7"))
    with pytest.raises(ProviderUnavailableError, match="429") as caught:
        make().embed(["a"])
    assert caught.value.details["retry_after_s"] == 7
    assert caught.value.details["status"] == 429


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_worth_trying_again(service: Service, make: Make, status: int) -> None:
    service.next(services.reply({}, status))
    embedder = make()
    with pytest.raises(ProviderUnavailableError) as caught:
        embedder.embed(["a"])
    assert "retry_after_s" not in caught.value.details
    assert embedder.embed(["abc"])[0, 0] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_will_not_pass_is_a_refusal(service: Service, make: Make, status: int) -> None:
    service.next(services.reply({"error": {"message": "too long", "code": "bad"}}, status))
    with pytest.raises(ProviderRefusedError, match="too long") as caught:
        make().embed(["a"])
    assert caught.value.details == {"status": status, "code": "bad"}


def test_a_quota_that_is_used_up_is_no_reason_to_wait(service: Service, make: Make) -> None:
    service.next(services.reply({"error": {"code": "insufficient_quota"}}, 429, Retry_After="1"))
    with pytest.raises(ProviderRefusedError):
        make().embed(["a"])


def test_a_redirect_is_not_followed(service: Service, make: Make) -> None:
    service.next(services.reply({}, 307, Location="http://127.0.0.1:1/"))
    with pytest.raises(ProviderRefusedError, match="307"):
        make().embed(["a"])


def test_a_reply_that_ends_early_is_worth_trying_again(service: Service, make: Make) -> None:
    service.next(services.truncated)
    with pytest.raises(ProviderUnavailableError, match="IncompleteRead"):
        make().embed(["a"])


def test_a_reply_that_has_begun_is_not_asked_for_again(service: Service, make: Make) -> None:
    embedder = make()
    embedder.embed(["a"])
    service.next(services.truncated)
    with pytest.raises(ProviderUnavailableError):
        embedder.embed(["a"])
    assert len(service.bodies) == 2


def test_a_service_that_hangs_up_is_worth_trying_again(service: Service, make: Make) -> None:
    service.next(services.hung_up)
    with pytest.raises(ProviderUnavailableError, match="RemoteDisconnected"):
        make().embed(["a"])


@pytest.mark.parametrize("slowly", [services.hung, services.dripping])
def test_a_slow_service_is_given_up_after_the_time_allowed(
    service: Service, make: Make, slowly: services.Answer
) -> None:
    service.next(slowly)
    with pytest.raises(ProviderUnavailableError, match="in time"):
        make(timeout_s=0.2).embed(["a"])


def test_nobody_listening_is_worth_trying_again() -> None:
    with pytest.raises(ProviderUnavailableError, match="cannot be reached"):
        OpenAIEmbedder("small", url="http://127.0.0.1:1/v1", dim=DIM).embed(["a"])


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b'{"data": [', b"<html>", b'{"data": 1}', b'{"data": [1]}', b"{}", b"[" * 100_000],
    ids=["nothing", "a list", "a part", "html", "no list", "no objects", "no data", "deep"],
)
def test_a_reply_that_is_no_list_of_embeddings_is_an_error(service: Service, make: Make, content: bytes) -> None:
    service.next(services.raw(content))
    with pytest.raises(InvalidEmbeddingError):
        make().embed(["a"])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_rows_is_an_error(service: Service, make: Make, count: int) -> None:
    service.next(services.reply({"data": services.rows(["a"] * count)}))
    with pytest.raises(InvalidEmbeddingError, match=f"{count} embeddings for 2 texts"):
        make().embed(["a", "b"])


@pytest.mark.parametrize("places", [[0, 0], [1, 2], [0, "x"], [0, None], [0, -1]])
def test_rows_numbered_otherwise_are_an_error(service: Service, make: Make, places: list[object]) -> None:
    data = [{"index": place, "embedding": [1, 2, 3, 4]} for place in places]
    service.next(services.reply({"data": data}))
    with pytest.raises(InvalidEmbeddingError, match="numbered"):
        make().embed(["a", "b"])


@pytest.mark.parametrize(
    "embedding",
    [
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 3, float("nan")],
        [1, 2, 3, 1e300],
        [1, 2, 3, None],
        [1, 2, 3, "x"],
        [[1]],
        None,
    ],
    ids=["short", "long", "nan", "beyond float32", "null", "text", "nested", "missing"],
)
def test_a_row_that_is_no_vector_of_the_model_is_an_error(service: Service, make: Make, embedding: object) -> None:
    service.next(services.reply({"data": [{"index": 0, "embedding": embedding}]}))
    with pytest.raises(InvalidEmbeddingError):
        make().embed(["a"])


def test_a_row_of_zeros_cannot_be_scaled(service: Service, make: Make) -> None:
    service.next(services.reply({"data": [{"index": 0, "embedding": [0, 0, 0, 0]}]}))
    with pytest.raises(InvalidEmbeddingError, match="zero"):
        make(normalize=True).embed(["a"])


def test_a_reply_larger_than_its_vectors_can_be_is_not_read(service: Service, make: Make) -> None:
    service.next(services.raw(b" " * (2 << 20)))
    with pytest.raises(InvalidEmbeddingError, match="more than"):
        make().embed(["a"])


# --- the key and the place ------------------------------------------------------------------------------------------


def test_the_key_is_sent_from_the_environment(service: Service, make: Make) -> None:
    make().embed(["a"])
    assert service.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_without_a_key_no_header_is_sent(service: Service, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    make().embed(["a"])
    assert "Authorization" not in service.headers[0]


def test_the_key_is_in_no_message_even_when_the_service_repeats_it(
    service: Service, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    service.next(services.reply({"error": {"message": f"key {KEY} is wrong"}}, 401))
    embedder = make()
    with caplog.at_level(logging.DEBUG), pytest.raises(ProviderRefusedError, match="TEST_KEY") as caught:
        embedder.embed(["a"])
    shown = [str(caught.value), repr(caught.value.details), repr(embedder), repr(embedder.fingerprint), caplog.text]
    assert not [text for text in shown if KEY in text]


def test_a_key_with_a_line_break_is_refused_without_being_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-secret\r\nX: y")
    with pytest.raises(InvalidConfigError, match="TEST_KEY") as caught:
        make().embed(["a"])
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/v1",
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "127.0.0.1:80",
        "https://user:word@example.org/v1",
        "https://example.org/v1?key=1",
        "https://example.org:x/v1",
        "http://127.0.0.1.example.org/v1",
    ],
)
def test_a_place_that_is_unsafe_or_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        OpenAIEmbedder("small", url=url, dim=DIM)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://example.org/v1", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"])
def test_https_and_this_machine_are_safe(url: str) -> None:
    assert OpenAIEmbedder("small", url=url, dim=DIM).fingerprint.location == url


def test_an_unsafe_place_can_be_allowed() -> None:
    assert OpenAIEmbedder("small", url="http://example.org", dim=DIM, allow_insecure=True).fingerprint.dim == DIM


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "1e9"}, 3600.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_service_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


def test_the_wait_may_be_a_date() -> None:
    wait = retry_after_s({"retry-after": email.utils.formatdate(time.time() + 100, usegmt=True)})
    assert wait is not None
    assert 90 < wait <= 100


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Service]:
    """The service behind a certificate of a private authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with services.running(context) as started:
        yield started


def test_a_trusted_service_is_spoken_to_over_tls(
    secure: Service, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    embedder = OpenAIEmbedder("small", url=secure.url, dim=DIM)
    assert embedder.embed(["abc"]).shape == (1, DIM)
    embedder.close()


def test_a_service_that_is_not_trusted_gets_nothing_and_is_not_tried_again(secure: Service) -> None:
    with pytest.raises(ProviderRefusedError, match="SSL_CERT_FILE"):
        OpenAIEmbedder("small", url=secure.url, dim=DIM).embed(["abc"])
    assert secure.bodies == []
