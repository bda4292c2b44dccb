"""Says which model made a vector, and refuses to mix the vectors of two.

A field of a collection may store the fingerprint of its model (`types.Field.model`); the engine compares it with the
one that a write or a query names, and whoever has a model at hand by `require_same_model`. Caches key what they keep
by `ModelFingerprint.digest`.
Promises: two fingerprints are equal exactly when their vectors may be compared; `location`, where the model was found,
is no part of that. What `to_dict` gives, `from_dict` takes back, and it holds no secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from vecdb.config import DIM_MAX, MODEL_NAME_CHARS_MAX
from vecdb.errors import InvalidConfigError, ModelMismatchError

DIGEST_BYTES: Final = 16

IN_DIRECTORIES: Final = frozenset({"sentence-transformers", "onnx", "clip"})
"""Providers whose models are opened by the directory they lie in; elsewhere a location is an option, as a url is."""

LABELS: Final = {
    "provider": "provider",
    "name": "name",
    "revision": "revision",
    "dim": "dimension",
    "normalized": "unit length",
    "full_dim": "dimension before cutting",
    "document_prompt": "prompt of documents",
    "query_prompt": "prompt of queries",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFingerprint:
    """The identity of an embedding model, as far as its vectors depend on it.

    `revision` tells versions of one name apart; it is empty where the provider has none. `full_dim` is set when only
    the first `dim` components of a model are kept (Matryoshka). Prompts are what is put before each text.
    """

    provider: str
    name: str
    revision: str = ""
    dim: int
    normalized: bool = True
    full_dim: int | None = None
    document_prompt: str = ""
    query_prompt: str = ""
    location: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for word in ("provider", "name", "revision", "document_prompt", "query_prompt", "location"):
            _require_text(word, getattr(self, word))
        for word in ("provider", "name"):
            if not getattr(self, word):
                raise InvalidConfigError(f"a model has no {word}; give one", field=word)
        _require_dim("dim", self.dim)
        if not isinstance(self.normalized, bool):
            raise InvalidConfigError(f"normalized of a model is {self.normalized!r}; give true or false")
        if self.full_dim is not None:
            _require_dim("full_dim", self.full_dim)
            if self.full_dim <= self.dim:
                raise InvalidConfigError(f"full_dim of a model is {self.full_dim}; it must be above dim, {self.dim}")

    @property
    def spec(self) -> str:
        """The word that opens this model again, as `--model` takes it."""
        if self.provider == "builtin":
            return self.provider
        return f"{self.provider}:{(self.provider in IN_DIRECTORIES and self.location) or self.name}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-like, to be stored; fields at their defaults are left out."""
        given = asdict(self)
        return {entry.name: given[entry.name] for entry in fields(self) if given[entry.name] != entry.default}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ModelFingerprint:
        """The fingerprint that `to_dict` gave; InvalidConfigError says what is wrong with another dict."""
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(stored) - known)
        missing = sorted({"provider", "name", "dim"} - set(stored))
        if unknown or missing:
            raise InvalidConfigError(
                f"this is no fingerprint of a model: unknown {unknown}, missing {missing}; "
                "a newer vecdb may have written it",
                unknown=unknown,
                missing=missing,
            )
        return cls(**stored)

    def digest(self) -> bytes:
        """16 bytes that are equal for equal fingerprints, on every machine and in every process."""
        identity = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.compare}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.blake2b(text.encode("ascii"), digest_size=DIGEST_BYTES).digest()

    def __str__(self) -> str:
        parts = [f"revision {self.revision}"] if self.revision else []
        parts.append(f"{self.dim} of {self.full_dim} dimensions" if self.full_dim else f"{self.dim} dimensions")
        parts.append("unit length" if self.normalized else "not normalised")
        return f"{self.provider}:{self.name} ({', '.join(parts)})"


def differences(stored: ModelFingerprint, given: ModelFingerprint) -> list[str]:
    """What tells the two models apart, in words; empty when their vectors may be compared."""
    return [
        f"{label} {getattr(stored, word)!r} against {getattr(given, word)!r}"
        for word, label in LABELS.items()
        if getattr(stored, word) != getattr(given, word)
    ]


def require_same_model(stored: ModelFingerprint, given: ModelFingerprint, *, collection: str) -> None:
    """ModelMismatchError, which says which is which and how to migrate, unless the two are one model."""
    found = differences(stored, given)
    if not found:
        return
    raise ModelMismatchError(
        f"collection {collection!r} holds vectors of {stored}; the model given is {given}. They differ in "
        f"{'; '.join(found)}. Vectors of two models cannot be compared: use --model {stored.spec}, or move the "
        f"collection to the other model with: vecdb reembed {collection} --to DIR|HOST:PORT --model {given.spec}",
        collection=collection,
        stored=stored.to_dict(),
        given=given.to_dict(),
    )


def _require_text(word: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > MODEL_NAME_CHARS_MAX:
        raise InvalidConfigError(
            f"{word} of a model is {type(value).__name__}; give a str of at most {MODEL_NAME_CHARS_MAX} characters",
            field=word,
        )


def _require_dim(word: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= DIM_MAX:
        raise InvalidConfigError(f"{word} of a model is {value!r}; give a number from 1 to {DIM_MAX}", field=word)
