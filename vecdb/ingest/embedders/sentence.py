"""Embeds texts with sentence-transformers, in this process.

The library is imported when an embedder is made. A name that is no directory is fetched from the model hub by the
library itself, unless it is in its cache or HF_HUB_OFFLINE is set; a directory never needs the network.

Promises: the revision is the commit of a fetched model, or a hash of the weights of a directory, so a model that was
replaced in place is another model.
Concurrency: calls are made one at a time, under a lock; the library uses the cores itself.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import EmbeddingError, InvalidConfigError
from vecdb.ingest.embedders import extras
from vecdb.ingest.embedders.checked import finished, require_texts
from vecdb.ingest.embedders.config import LOCAL_BATCH_TEXTS, LOCAL_TOKENS_DEFAULT
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import EmbedderLimits, Role

PROVIDER: Final = "sentence-transformers"
WEIGHTS: Final = ("*.safetensors", "*.bin", "*.onnx")
HASH_CHARS: Final = 16


class SentenceEmbedder:
    """A model of sentence-transformers: a name on the hub, or a directory.

    `dim` below the model's own keeps the first components (for models trained so), `normalize` scales to unit length.
    """

    __slots__ = ("_lock", "_model", "_prompts", "fingerprint", "limits")

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        dim: int | None = None,
        normalize: bool = True,
        document_prompt: str = "",
        query_prompt: str = "",
        device: str | None = None,
    ) -> None:
        self._model = open_model(name, revision=revision, device=device)
        own = _own_dim(self._model)
        self._prompts = {"document": document_prompt, "query": query_prompt}
        self._lock = threading.Lock()
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER,
            name=Path(name).name if Path(name).is_dir() else name,
            revision=revision_of(name, self._model) or revision or "",
            dim=kept_dim(dim, own),
            normalized=normalize,
            full_dim=own if dim is not None and dim < own else None,
            document_prompt=document_prompt,
            query_prompt=query_prompt,
            location=str(Path(name).resolve()) if Path(name).is_dir() else "",
        )
        window = int(getattr(self._model, "max_seq_length", None) or LOCAL_TOKENS_DEFAULT)
        self.limits = EmbedderLimits(
            batch_texts=LOCAL_BATCH_TEXTS * 4, batch_tokens=LOCAL_BATCH_TEXTS * 4 * window, text_tokens=window
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text."""
        require_texts(texts)
        if not texts:
            return finished([], 0, self.fingerprint)
        prompt = self._prompts[role]
        return finished(self._encode([prompt + text for text in texts]), len(texts), self.fingerprint)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        require_texts(texts)
        if not texts:
            return []
        read = self._model.tokenizer(list(texts), truncation=False, padding=False)
        return [len(tokens) for tokens in read["input_ids"]]

    def close(self) -> None:
        """Nothing to give back: the weights go with the object."""

    def _encode(self, texts: list[str]) -> Any:
        return encode(self._model, self._lock, texts, self.fingerprint)


def encode(model: Any, lock: threading.Lock, items: list[Any], fingerprint: ModelFingerprint) -> Any:
    """What the library makes of texts or images; its exceptions become EmbeddingError."""
    try:
        with lock:
            return model.encode(
                items,
                batch_size=LOCAL_BATCH_TEXTS,
                convert_to_numpy=True,
                normalize_embeddings=False,
                show_progress_bar=False,
            )
    except Exception as error:
        raise EmbeddingError(
            f"{fingerprint.provider}:{fingerprint.name} failed: {type(error).__name__}", provider=fingerprint.provider
        ) from error


def open_model(name: str, *, revision: str | None, device: str | None, extra: str = PROVIDER) -> Any:
    """The model; InvalidConfigError when the library cannot load it."""
    library = extras.required("sentence_transformers", extra=extra, needed_by=f"a model of {extra}")
    try:
        return library.SentenceTransformer(name, revision=revision, device=device)
    except Exception as error:
        raise InvalidConfigError(
            f"sentence-transformers cannot load the model {name!r} ({type(error).__name__}): give a directory, or a "
            "name on the hub and a network that reaches it",
            model=name,
        ) from error


def revision_of(name: str, model: Any) -> str:
    """The hash of the weights of a directory, or the commit of what was fetched; empty when neither is known."""
    if Path(name).is_dir():
        return weights_hash(Path(name))
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return str(getattr(config, "_commit_hash", None) or "")


def weights_hash(directory: Path) -> str:
    """16 hexadecimal digits that change when any file of weights does."""
    files = sorted({path for pattern in WEIGHTS for path in directory.rglob(pattern)})
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:HASH_CHARS] if files else ""


def kept_dim(dim: int | None, own: int) -> int:
    """The components that are kept; InvalidConfigError for more than the model has."""
    if dim is not None and dim > own:
        raise InvalidConfigError(f"dim is {dim}, and the model has {own} components; give at most {own}", dim=dim)
    return own if dim is None else dim


def _own_dim(model: Any) -> int:
    ask = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    own = ask()
    return len(model.encode("dimension", show_progress_bar=False)) if own is None else int(own)
