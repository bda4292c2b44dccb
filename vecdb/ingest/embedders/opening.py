"""Opens an embedder from a word, or from the fingerprint that a collection stores.

    builtin                               the model in the package
    sentence-transformers:NAME_OR_DIR     in this process
    onnx:DIR                              model.onnx and tokenizer.json
    openai:MODEL                          a service; options url, key_env, dim …
    clip:NAME_OR_DIR                      texts and images
    callable:MODULE:FUNCTION              a Python function
    precomputed:NAME                      vectors come with their records; option dim

Promises: the library of a provider is imported only when that provider is opened.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from vecdb.errors import InvalidConfigError
from vecdb.ingest.embedders.fingerprint import ModelFingerprint, require_same_model
from vecdb.ingest.embedders.protocol import Embedder

DEFAULT: Final = "builtin"


def _builtin(name: str) -> Embedder:
    from vecdb.ingest.embedders.static import builtin  # noqa: PLC0415  the model is mapped when it is wanted

    if name:
        raise InvalidConfigError(f"there is one built-in model, called builtin; {name!r} is none", model=name)
    return builtin()


def _sentence(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.sentence import SentenceEmbedder  # noqa: PLC0415  as above

    return SentenceEmbedder(name, **_known(SentenceEmbedder, options))


def _onnx(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.onnx import OnnxEmbedder  # noqa: PLC0415  as above

    return OnnxEmbedder(name, **_known(OnnxEmbedder, options))


def _openai(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.openai import OpenAIEmbedder  # noqa: PLC0415  http.client and ssl take 30 ms

    return OpenAIEmbedder(name, **_known(OpenAIEmbedder, options))


def _clip(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.clip import ClipEmbedder  # noqa: PLC0415  as above

    return ClipEmbedder(name, **_known(ClipEmbedder, options))


def _callable(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.function import FunctionEmbedder  # noqa: PLC0415  as above

    return FunctionEmbedder(name, **_known(FunctionEmbedder, options))


def _precomputed(name: str, **options: Any) -> Embedder:
    from vecdb.ingest.embedders.precomputed import PrecomputedEmbedder  # noqa: PLC0415  as above

    return PrecomputedEmbedder(name, **_known(PrecomputedEmbedder, options))


PROVIDERS: Final[dict[str, Callable[..., Embedder]]] = {
    "builtin": _builtin,
    "callable": _callable,
    "clip": _clip,
    "onnx": _onnx,
    "openai": _openai,
    "precomputed": _precomputed,
    "sentence-transformers": _sentence,
}


def open_embedder(spec: str = DEFAULT, **options: Any) -> Embedder:
    """The embedder that `spec` names; options are those of its class, by name.

    InvalidConfigError for an unknown provider or option, MissingExtraError for a library that is not installed.
    """
    provider, _, name = spec.partition(":")
    make = PROVIDERS.get(provider)
    if make is None:
        raise InvalidConfigError(
            f"there is no provider of embeddings {provider!r}; write one of {', '.join(sorted(PROVIDERS))}, "
            "as in builtin or openai:MODEL",
            model=spec,
        )
    if provider == DEFAULT:
        if options:
            raise InvalidConfigError(f"the built-in model has no options; leave out {', '.join(sorted(options))}")
        return make(name)
    if not name:
        raise InvalidConfigError(f"{spec!r} names no model; write {provider}:MODEL", model=spec)
    return make(name, **options)


def open_same(stored: ModelFingerprint, *, collection: str, **options: Any) -> Embedder:
    """The embedder of a collection's own model, for new records or queries of that collection.

    Options say what no fingerprint holds (`key_env`, `timeout_s`, `device` …). ModelMismatchError when what is found
    under the model's name today is another model.
    """
    embedder = open_embedder(stored.spec, **(_remembered(stored) | options))
    try:
        require_same_model(stored, embedder.fingerprint, collection=collection)
    except Exception:
        embedder.close()
        raise
    return embedder


def _remembered(stored: ModelFingerprint) -> dict[str, Any]:
    """Options that make the stored model again."""
    prompts = {"document_prompt": stored.document_prompt, "query_prompt": stored.query_prompt}
    cut = {"dim": stored.dim} if stored.full_dim is not None else {}
    shape = {"normalize": stored.normalized}
    match stored.provider:
        case "builtin":
            return {}
        case "sentence-transformers":
            fetched = {} if stored.location else {"revision": stored.revision or None}
            return shape | prompts | cut | fetched
        case "onnx":
            return shape | prompts | cut | {"pooling": stored.name.rpartition("/")[2]}
        case "openai":
            place = {"url": stored.location} if stored.location else {}
            sizes = {"dim": stored.dim, "full_dim": stored.full_dim}
            return shape | prompts | sizes | place | {"revision": stored.revision}
        case "clip":
            return shape | ({} if stored.location else {"revision": stored.revision or None})
        case "callable":
            return shape | prompts | {"dim": stored.dim}
        case _:
            return shape | {"dim": stored.dim, "revision": stored.revision}


def _known(kind: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The options, all of which `kind` must take."""
    taken = {name for name, entry in inspect.signature(kind).parameters.items() if entry.kind is entry.KEYWORD_ONLY}
    unknown = sorted(set(options) - taken)
    if unknown:
        raise InvalidConfigError(
            f"unknown option {unknown[0]!r} of the model; it takes {', '.join(sorted(taken))}", option=unknown[0]
        )
    return options
