"""Embeds texts with a service that speaks OpenAI's `POST /embeddings`: OpenAI, Azure-like gateways, vLLM, Ollama, TEI…

Texts are sent in requests of at most `batch_texts` texts and about `batch_tokens` tokens, estimated from their bytes.
Promises: what comes back is checked whole: one row for each text, in the order of `index`, of the dimension, finite.
The key is in the environment (OPENAI_API_KEY unless named otherwise) and nowhere else. Errors are those of
`http_exchange`; nothing is tried again here, since whoever calls knows for how long it pays.
Concurrency: any number of threads, each with a connection of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.config import DIM_MAX
from vecdb.errors import InvalidConfigError, InvalidEmbeddingError
from vecdb.ingest.embedders.checked import estimated_tokens, finished, require_texts
from vecdb.ingest.embedders.config import (
    HTTP_BATCH_TEXTS,
    HTTP_BATCH_TEXTS_MAX,
    HTTP_BATCH_TOKENS,
    HTTP_FLOAT_BYTES,
    HTTP_PARALLEL,
    HTTP_REPLY_BYTES,
    HTTP_TIMEOUT_S,
    HTTP_TOKENS_DEFAULT,
)
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.http_exchange import Endpoint, Exchange
from vecdb.ingest.embedders.protocol import EmbedderLimits, Role, batches

PROVIDER: Final = "openai"
URL: Final = "https://api.openai.com/v1"
KEY_ENV: Final = "OPENAI_API_KEY"


class OpenAIEmbedder:
    """A model of a service. Without `dim` the service is asked about one text to see.

    `full_dim` is given when `dim` is smaller than the model's own dimension; the service then cuts (`dimensions`), and
    where it does not, its rows are cut here.
    """

    __slots__ = ("_encoding", "_exchange", "_prompts", "fingerprint", "limits")

    def __init__(
        self,
        name: str,
        *,
        url: str = URL,
        key_env: str = KEY_ENV,
        dim: int | None = None,
        full_dim: int | None = None,
        revision: str = "",
        normalize: bool = True,
        document_prompt: str = "",
        query_prompt: str = "",
        batch_texts: int = HTTP_BATCH_TEXTS,
        batch_tokens: int = HTTP_BATCH_TOKENS,
        text_tokens: int = HTTP_TOKENS_DEFAULT,
        parallel: int = HTTP_PARALLEL,
        timeout_s: float = HTTP_TIMEOUT_S,
        allow_insecure: bool = False,
        encoding: str = "float",
    ) -> None:
        if not 1 <= batch_texts <= HTTP_BATCH_TEXTS_MAX:
            raise InvalidConfigError(f"batch_texts is {batch_texts}; give 1 to {HTTP_BATCH_TEXTS_MAX}")
        if encoding not in {"float", "base64"}:
            raise InvalidConfigError(f"encoding is {encoding!r}; give 'float' or 'base64'")
        if full_dim is not None and dim is None:
            raise InvalidConfigError("full_dim says what dim is cut from; give dim as well")
        self._exchange = Exchange(
            Endpoint(url=url, key_env=key_env, timeout_s=timeout_s, allow_insecure=allow_insecure), "/embeddings"
        )
        self._encoding = encoding
        self._prompts = {"document": document_prompt, "query": query_prompt}
        self.limits = EmbedderLimits(
            batch_texts=batch_texts, batch_tokens=batch_tokens, text_tokens=text_tokens, parallel=parallel
        )
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER,
            name=name,
            revision=revision,
            dim=self._asked_dim(name) if dim is None else dim,
            full_dim=full_dim,
            normalized=normalize,
            document_prompt=document_prompt,
            query_prompt=query_prompt,
            location="" if url == URL else url,
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text; several requests where one would be too large."""
        require_texts(texts)
        sent = [self._prompts[role] + text for text in texts]
        out = np.empty((len(sent), self.fingerprint.dim), dtype=np.float32)
        for part in batches(estimated_tokens(sent), self.limits):
            rows = self._requested(sent[part])
            out[part] = finished(rows, len(sent[part]), self.fingerprint)
        return out

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimated_tokens(texts)

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _requested(self, texts: list[str]) -> list[Any]:
        mark = self.fingerprint
        body: dict[str, Any] = {"model": mark.name, "input": texts, "encoding_format": self._encoding}
        if mark.full_dim is not None:
            body["dimensions"] = mark.dim
        room = HTTP_REPLY_BYTES + len(texts) * (mark.full_dim or mark.dim) * HTTP_FLOAT_BYTES
        return rows_of(self._exchange.post(body, reply_bytes=room), len(texts))

    def _asked_dim(self, name: str) -> int:
        body = {"model": name, "input": ["dimension"], "encoding_format": self._encoding}
        reply = self._exchange.post(body, reply_bytes=HTTP_REPLY_BYTES + DIM_MAX * HTTP_FLOAT_BYTES)
        return len(rows_of(reply, 1)[0])


def rows_of(reply: dict[str, Any], count: int) -> list[Any]:
    """The embeddings of a reply by their `index`; InvalidEmbeddingError unless there is exactly one for each text."""
    entries = reply.get("data")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidEmbeddingError("the service sent a reply without a list of embeddings in `data`")
    if len(entries) != count:
        raise InvalidEmbeddingError(
            f"the service sent {len(entries)} embeddings for {count} texts", rows=len(entries), expected=count
        )
    places = [entry.get("index", position) for position, entry in enumerate(entries)]
    if set(map(str, places)) != set(map(str, range(count))):
        raise InvalidEmbeddingError(f"the service numbered its {count} embeddings otherwise than from 0 to {count - 1}")
    rows: list[Any] = [None] * count
    for place, entry in zip(places, entries, strict=True):
        rows[int(place)] = _numbers(entry.get("embedding"), int(place))
    return rows


def _numbers(embedding: object, place: int) -> Any:
    if isinstance(embedding, str):
        try:
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        except (binascii.Error, ValueError) as error:
            raise InvalidEmbeddingError(f"embedding {place} is no base64 of float32", index=place) from error
    if not isinstance(embedding, list) or not embedding:
        raise InvalidEmbeddingError(f"embedding {place} is no list of numbers", index=place)
    return embedding
