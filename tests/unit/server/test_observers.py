"""What a server tells of its calls: access log, its own log, metrics, spans."""

from __future__ import annotations

import functools
import io
import json
import logging
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

import vecdb
from tests.unit.server.conftest import Serve, Served
from tests.unit.server.echo import bindings, call_raw, code_of
from tests.unit.server.test_dispatch import SEARCH, _settle
from vecdb.server.access_log import AccessLog
from vecdb.server.app import serving
from vecdb.server.config import DENIED_LINES_PER_S
from vecdb.server.exchange import Outcome
from vecdb.server.keyfile import change_keys, make_key
from vecdb.server.log_lines import LogLines
from vecdb.server.logs import JsonFormatter, masked
from vecdb.server.settings import ServerConfig

CANARY = "canary"
WRITE = "/vecdb.v1.RecordService/UpsertRecords"

OUTCOME = Outcome(
    method=SEARCH,
    principal="p",
    peer="ipv4:127.0.0.1:1",
    code="OK",
    seconds=0.0015,
    received_bytes=3,
    sent_bytes=4,
    request_id="r",
    is_refused=False,
)


def _lines(text: str, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


def _finish(served: Served) -> None:
    """End the server: calls that went well are observed after their replies, so a client may be ahead of the log."""
    assert served.service.stop()


def test_a_call_is_one_line_of_json(serve: Serve) -> None:
    served = serve()
    call_raw(served.channel, SEARCH, b"\x0a\x03abc", metadata=[("x-request-id", "mine-1")])
    _finish(served)
    (line,) = _lines(served.log.getvalue(), "rpc")
    assert line["method"] == SEARCH
    assert (line["code"], line["principal"], line["request_id"]) == ("OK", "local", "mine-1")
    assert (line["received_bytes"], line["sent_bytes"]) == (5, 0)
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert line["ms"] > 0


def test_the_line_of_a_call_that_its_key_does_not_allow_names_the_key(serve: Serve, tmp_path: Path) -> None:
    key, spoken = make_key("reader", {"*": "read"})
    change_keys(str(tmp_path / "keys.json"), lambda _held: [key])
    served = serve(keys=str(tmp_path / "keys.json"))
    with pytest.raises(grpc.RpcError):
        call_raw(served.channel, WRITE, b"", metadata=[("x-api-key", spoken)])
    (line,) = _lines(served.log_text(), "rpc")
    assert (line["code"], line["principal"]) == ("PERMISSION_DENIED", key.id)


def test_without_the_access_log_a_call_leaves_no_line(serve: Serve) -> None:
    served = serve(access_log=False)
    call_raw(served.channel, SEARCH, b"")
    _finish(served)
    assert _lines(served.log.getvalue(), "rpc") == []


@pytest.mark.parametrize("given", ["", "x" * 65, 'a"b', "a b"])
def test_a_request_id_that_could_disturb_the_log_is_replaced(serve: Serve, given: str) -> None:
    served = serve()
    call_raw(served.channel, SEARCH, b"", metadata=[("x-request-id", given)])
    _finish(served)
    (line,) = _lines(served.log.getvalue(), "rpc")
    assert line["request_id"] != given


def test_a_flood_of_refusals_is_counted_not_listed() -> None:
    stream = io.StringIO()
    written = LogLines(stream)
    log = AccessLog(written)
    refused = OUTCOME._replace(is_refused=True)
    for _ in range(10_000):
        log(refused)
    log(OUTCOME)
    written.close()
    lines = _lines(stream.getvalue(), "rpc")
    told = len(lines) + sum(line.get("left_out", 0) for line in lines)
    assert told == 10_001
    assert len(lines) < 100 * DENIED_LINES_PER_S


def test_a_log_that_cannot_be_written_fails_no_call(serve: Serve) -> None:
    served = serve()
    served.log.close()
    assert call_raw(served.channel, SEARCH, b"") == [b""]
    logging.getLogger("vecdb").handlers[-1].close()


def test_what_looks_like_a_key_is_masked() -> None:
    assert masked("before vk_abcdefgh_c2VjcmV0c2VjcmV0 after") == "before vk_abcdefgh_*** after"


def _failed(text: str) -> Exception:
    try:
        int(text)
    except ValueError as error:
        return error
    raise AssertionError(text)


def _fail(text: str, because: Exception) -> None:
    raise RuntimeError(text) from because


def test_an_exception_is_logged_without_its_text() -> None:
    try:
        _fail(CANARY, because=_failed(CANARY))
    except RuntimeError as error:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "said", (), (type(error), error, error.__traceback__))
    line = json.loads(JsonFormatter().format(record))
    assert CANARY not in line["traceback"]
    assert "RuntimeError" in line["traceback"]
    assert "ValueError" in line["traceback"]


# --- metrics --------------------------------------------------------------------------------------------------------


def _page(served: Served) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.service.metrics_port}/metrics", timeout=20) as page:
        text: bytes = page.read()
    return text.decode()


def test_metrics_count_calls_by_method_and_code(serve: Serve) -> None:
    served = serve(metrics_listen="127.0.0.1:0")
    for body in (b"", b"", b"\xff"):
        code_of(functools.partial(call_raw, served.channel, SEARCH, body))
    _finish(served)
    page = served.service.metrics.text() if served.service.metrics else ""
    assert f'vecdb_rpcs_total{{code="OK",method="{SEARCH}"}} 2.0' in page
    assert f'vecdb_rpcs_total{{code="INVALID_ARGUMENT",method="{SEARCH}"}} 1.0' in page
    assert f'vecdb_rpc_seconds_count{{method="{SEARCH}"}} 3.0' in page
    assert "vecdb_rpcs_under_way 0.0" in page


def test_metrics_measure_the_engine(tmp_path: Path) -> None:
    config = ServerConfig(data=str(tmp_path / "db"), listen=("127.0.0.1:0",), metrics_listen="127.0.0.1:0")
    with vecdb.open(config.data) as database:
        database.create_collection("docs", dim=2).upsert(["a"], [[1.0, 0.0]])
        with serving(config, bindings(), database=database, log_stream=io.StringIO()) as service:
            page = _page(Served(service, None, io.StringIO()))
    assert 'vecdb_records{collection="docs"} 1.0' in page
    assert 'vecdb_tail_rows{collection="docs",field="default"} 1.0' in page
    assert "vecdb_seq 2.0" in page
    assert "vecdb_file_bytes" in page


# --- spans ----------------------------------------------------------------------------------------------------------


def test_a_call_makes_a_span_under_that_of_its_client(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    served = serve(tracing=True)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    code_of(lambda: call_raw(served.channel, SEARCH, b"\xff", metadata=[("traceparent", parent)]))
    _settle(served)
    (span,) = exporter.get_finished_spans()
    assert span.name == "vecdb.v1.SearchService/Search"
    assert format(span.context.trace_id, "032x") == parent.split("-")[1]
    assert dict(span.attributes or {})["rpc.response.status_code"] == "INVALID_ARGUMENT"
