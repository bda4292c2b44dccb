"""Embeds texts with ONNX Runtime: a directory with `model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`.

Files that say how the model is meant are read where they lie beside it: `1_Pooling/config.json` (mean or cls) and
`config.json` (window, padding token). A model whose output has two axes pools by itself.

Promises: no network; the revision is a hash of the model and the tokenizer. Padding never changes a vector beyond
rounding: it is masked out, in the model and in the mean.
Concurrency: any number of threads; ONNX Runtime uses the cores itself.
"""

from __future__ import annotations

import hashlib
import json
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

PROVIDER: Final = "onnx"
MODELS: Final = ("model.onnx", "onnx/model.onnx")
POOLINGS: Final = ("mean", "cls")
HASH_CHARS: Final = 16


class OnnxEmbedder:
    """A model in a directory. `pooling` and `text_tokens` override what its files say."""

    __slots__ = ("_inputs", "_pooling", "_prompts", "_session", "_tokenizer", "fingerprint", "limits")

    def __init__(
        self,
        directory: str | Path,
        *,
        pooling: str | None = None,
        dim: int | None = None,
        normalize: bool = True,
        document_prompt: str = "",
        query_prompt: str = "",
        text_tokens: int | None = None,
        threads: int = 0,
    ) -> None:
        place = Path(directory)
        model, tokenizer = _found(place, MODELS), _found(place, ("tokenizer.json",))
        self._pooling = pooling or _stated_pooling(place)
        if self._pooling not in POOLINGS:
            raise InvalidConfigError(f"pooling is {pooling!r}; give one of {', '.join(POOLINGS)}")
        window = text_tokens or _stated_window(place)
        self._tokenizer = _opened_tokenizer(tokenizer, window, place)
        self._session = _opened_session(model, threads)
        self._inputs = {entry.name for entry in self._session.get_inputs()}
        self._prompts = {"document": document_prompt, "query": query_prompt}
        self.limits = EmbedderLimits(
            batch_texts=LOCAL_BATCH_TEXTS, batch_tokens=LOCAL_BATCH_TEXTS * window, text_tokens=window
        )
        own = int(self._pooled(self._read(["dimension"])).shape[1])
        if dim is not None and dim > own:
            raise InvalidConfigError(f"dim is {dim}, and the model has {own} components; give at most {own}", dim=dim)
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER,
            name=f"{place.resolve().name}/{self._pooling}",
            revision=_hash(model, tokenizer),
            dim=dim or own,
            full_dim=own if dim is not None and dim < own else None,
            normalized=normalize,
            document_prompt=document_prompt,
            query_prompt=query_prompt,
            location=str(place.resolve()),
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text; texts of like length run together, since shorter ones are padded."""
        require_texts(texts)
        prompt = self._prompts[role]
        read = self._read([prompt + text for text in texts]) if texts else []
        order = sorted(range(len(read)), key=lambda index: len(read[index].ids))
        out = np.empty((len(read), self.fingerprint.dim), dtype=np.float32)
        for start in range(0, len(order), LOCAL_BATCH_TEXTS):
            part = order[start : start + LOCAL_BATCH_TEXTS]
            out[part] = finished(self._pooled([read[index] for index in part]), len(part), self.fingerprint)
        return out

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        require_texts(texts)
        return [len(encoding.ids) for encoding in self._read(list(texts))]

    def close(self) -> None:
        """Nothing to give back: the session goes with the object."""

    def _read(self, texts: list[str]) -> list[Any]:
        return list(self._tokenizer.encode_batch(texts))

    def _pooled(self, read: list[Any]) -> NDArray[np.float32]:
        """One row for each text, before cutting and scaling."""
        width = max(len(encoding.ids) for encoding in read)
        ids, mask = np.zeros((len(read), width), np.int64), np.zeros((len(read), width), np.int64)
        for row, encoding in enumerate(read):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        try:
            (states, *_) = self._session.run(None, {name: given[name] for name in self._inputs})
        except Exception as error:
            raise EmbeddingError(f"ONNX Runtime failed: {type(error).__name__}", provider=PROVIDER) from error
        return pooled(np.asarray(states), mask, self._pooling)


def pooled(states: NDArray[Any], mask: NDArray[np.int64], pooling: str) -> NDArray[np.float32]:
    """One row from the states of a text's tokens: their mean, or that of the first one."""
    if states.ndim == 2:
        return states.astype(np.float32)
    if pooling == "cls":
        return states[:, 0].astype(np.float32)
    weights = mask[:, :, None].astype(np.float32)
    sums: NDArray[np.float32] = (states * weights).sum(axis=1, dtype=np.float32)
    means: NDArray[np.float32] = sums / np.maximum(weights.sum(axis=1), np.float32(1.0))
    return means


def _found(place: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (place / name).is_file():
            return place / name
    raise InvalidConfigError(
        f"{place} has no {names[0]}; give the directory of a model exported to ONNX", path=str(place)
    )


def _opened_tokenizer(path: Path, window: int, place: Path) -> Any:
    library = extras.required("tokenizers", extra=PROVIDER, needed_by="a model of ONNX Runtime")
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
    except Exception as error:
        raise InvalidConfigError(f"{place} has a tokenizer.json that cannot be read", path=str(path)) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(window)
    return tokenizer


def _opened_session(path: Path, threads: int) -> Any:
    library = extras.required("onnxruntime", extra=PROVIDER, needed_by="a model of ONNX Runtime")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = library.InferenceSession(str(path), options, providers=library.get_available_providers())
    except Exception as error:
        raise InvalidConfigError(f"ONNX Runtime cannot load {path} ({type(error).__name__})", path=str(path)) from error
    unknown = {entry.name for entry in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown:
        raise InvalidConfigError(f"{path} wants inputs that no text gives: {sorted(unknown)}", path=str(path))
    return session


def _stated(path: Path) -> dict[str, Any]:
    """What a file of settings says; nothing when it is not there or says nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stated_pooling(place: Path) -> str:
    return "cls" if _stated(place / "1_Pooling" / "config.json").get("pooling_mode_cls_token") else "mean"


def _stated_window(place: Path) -> int:
    trained = _stated(place / "sentence_bert_config.json").get("max_seq_length")
    possible = _stated(place / "config.json").get("max_position_embeddings")
    for window in (trained, possible):
        if isinstance(window, int) and window > 0:
            return window
    return LOCAL_TOKENS_DEFAULT


def _hash(*paths: Path) -> str:
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:HASH_CHARS]
