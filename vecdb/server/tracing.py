"""Makes an OpenTelemetry span for every call, as a child of the client's, when opentelemetry is installed.

Promises: spans have the method, the principal's status code and nothing of the contents. Which exporter gets them is
the business of whoever configures opentelemetry (for instance `opentelemetry-instrument vecdb serve ...`).
Concurrency: a span is begun by the thread that accepts a call and ended by the one that answers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vecdb.errors import InvalidConfigError

OK = "OK"


class Span:
    """The span of one call."""

    __slots__ = ("_span",)

    def __init__(self, span: Any) -> None:
        self._span = span

    def finish(self, code: str) -> None:
        """End the span with the call's status code."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - optional

        self._span.set_attribute("rpc.response.status_code", code)
        if code != OK:
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()


class Tracer:
    """Begins spans."""

    def __init__(self) -> None:
        """InvalidConfigError when opentelemetry is not installed."""
        try:
            from opentelemetry import propagate, trace  # noqa: PLC0415 - optional
        except ImportError as error:
            raise InvalidConfigError("tracing needs opentelemetry; run: pip install 'vecdb[otel]'") from error
        self._extract = propagate.extract
        self._kind = trace.SpanKind.SERVER
        self._tracer = trace.get_tracer("vecdb.server")

    def begin(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """A span named after the method, under the span that the metadata (traceparent) names."""
        carrier = {name: value for name, value in metadata if isinstance(value, str)}
        carrier = {name: carrier[name] for name in ("traceparent", "tracestate") if name in carrier}
        attributes = {"rpc.system.name": "grpc", "rpc.method": method.lstrip("/")}
        context = self._extract(carrier)
        return Span(
            self._tracer.start_span(method.lstrip("/"), context=context, kind=self._kind, attributes=attributes)
        )
