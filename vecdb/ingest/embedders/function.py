"""Embeds texts with a Python function of the user, named `module:function`.

The function takes a list of str and returns a row of numbers for each: a matrix or nested lists. It may carry
attributes: `dim`, `revision`, `batch_texts`. Without `dim` it is asked about one text to see.

Promises: the module is imported because the user named it, and nothing else is. Errors of vecdb that the function
raises (ProviderUnavailableError, to be tried again) pass through; any other exception becomes EmbeddingError.
Concurrency: as the function's; it is called by one thread at a time.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import EmbeddingError, InvalidConfigError, VecDBError
from vecdb.ingest.embedders.checked import estimated_tokens, finished, require_texts
from vecdb.ingest.embedders.config import EMBED_TEXT_BYTES_MAX, HTTP_BATCH_TOKENS, STATIC_BATCH_TEXTS
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import EmbedderLimits, Role

PROVIDER: Final = "callable"

Function = Callable[[list[str]], Any]


class FunctionEmbedder:
    """A function that embeds, given by name or as it is."""

    __slots__ = ("_function", "_lock", "_prompts", "fingerprint", "limits")

    def __init__(
        self,
        function: str | Function,
        *,
        name: str | None = None,
        dim: int | None = None,
        revision: str | None = None,
        normalize: bool = True,
        document_prompt: str = "",
        query_prompt: str = "",
    ) -> None:
        self._function = _imported(function) if isinstance(function, str) else function
        self._prompts = {"document": document_prompt, "query": query_prompt}
        self._lock = threading.Lock()
        known = dim or getattr(self._function, "dim", None)
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER,
            name=name or _name(function),
            revision=revision if revision is not None else str(getattr(self._function, "revision", "")),
            dim=self._asked_dim() if known is None else known,
            normalized=normalize,
            document_prompt=document_prompt,
            query_prompt=query_prompt,
        )
        self.limits = EmbedderLimits(
            batch_texts=int(getattr(self._function, "batch_texts", STATIC_BATCH_TEXTS)),
            batch_tokens=HTTP_BATCH_TOKENS,
            text_tokens=EMBED_TEXT_BYTES_MAX,
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text."""
        require_texts(texts)
        prompt = self._prompts[role]
        given = self._call([prompt + text for text in texts]) if texts else []
        return finished(given, len(texts), self.fingerprint)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimated_tokens(texts)

    def close(self) -> None:
        """Nothing to give back: the function is the user's."""

    def _call(self, texts: list[str]) -> Any:
        try:
            with self._lock:
                return self._function(texts)
        except VecDBError:
            raise
        except Exception as error:
            raise EmbeddingError(f"the embedding function raised {type(error).__name__}", provider=PROVIDER) from error

    def _asked_dim(self) -> int:
        shape = np.shape(self._call(["dimension"]))
        if len(shape) != 2 or shape[0] != 1:
            raise InvalidConfigError(
                f"the embedding function gave an array of shape {shape} for one text; return a row for each text"
            )
        return int(shape[1])


def _name(function: str | Function) -> str:
    return function if isinstance(function, str) else str(getattr(function, "__qualname__", "function"))


def _imported(spec: str) -> Function:
    module, _, name = spec.partition(":")
    if not module or not name:
        raise InvalidConfigError(f"{spec!r} names no function; write callable:module:function", model=spec)
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise InvalidConfigError(
            f"module {module!r} cannot be imported ({error}); is its folder in PYTHONPATH?", model=spec
        ) from error
    function: Function | None = getattr(found, name, None)
    if not callable(function):
        raise InvalidConfigError(f"module {module!r} has no function {name!r}", model=spec)
    return function
