"""Configures the ingestor: defaults, then a TOML file, then the environment, then flags; one set of names for all.

`chunk_tokens = 128` in the file, `VECDB_INGEST_CHUNK_TOKENS=128` in the environment, `--chunk-tokens 128` and
`chunk_tokens=128` in Python are the same setting.

Promises: an unknown name is an error that suggests the nearest known one; every value is checked, and an error says
where it was read. Settings hold no secret: keys are read from the environment or a file when they are needed.
Invariants: IngestSettings are frozen; paths in `sources` are absolute, so that a pipeline is the same from anywhere.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, cast

from vecdb.checks.addresses import Address, parse_address
from vecdb.checks.toml_file import read_toml
from vecdb.errors import InvalidConfigError
from vecdb.ingest.chunkers.config import (
    CHUNK_TOKENS_DEFAULT,
    CHUNK_TOKENS_MAX,
    CHUNK_TOKENS_MIN,
    OVERLAP_TOKENS_DEFAULT,
)
from vecdb.ingest.operation import config as limits
from vecdb.ingest.operation.places import Destination, Pipeline, absolute_source, read_destination, state_root
from vecdb.ingest.pipeline import config as work
from vecdb.ingest.sources.options import FORMATS
from vecdb.server.values import Kind, choice, count, number_of_bytes, seconds, text, yes_or_no
from vecdb.types import TLSConfig

PREFIX: Final = "VECDB_INGEST_"
FILE_VARIABLE: Final = "VECDB_INGEST_CONFIG"
API_KEY_VARIABLE: Final = "VECDB_API_KEY"
REQUIRED: Final = ("sources", "to", "collection")
SECRET_OPTIONS: Final = frozenset({"key", "api_key", "token", "password", "secret"})
"""What users may take for options of a model, and would see in logs and process lists."""


def setting(default: Any, kind: Kind, meaning: str, group: str = "") -> Any:
    """A field of IngestSettings: its default, how it is read and checked, what `--help` says and under which title."""
    return field(default=default, metadata={"kind": kind, "help": meaning, "group": group})


def several() -> Kind:
    """Several texts, none of which is split: a query may hold any character."""

    def read(value: Any, origin: str) -> tuple[str, ...]:
        words = (value,) if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
            raise InvalidConfigError(f"{origin} is {value!r:.100}; give one or several texts")
        return tuple(words)

    return read


def any_text() -> Kind:
    """A text, which may be empty."""

    def read(value: Any, origin: str) -> str:
        if not isinstance(value, str) or "\0" in value:
            raise InvalidConfigError(f"{origin} is {value!r:.100}; give a text")
        return value

    return read


def options() -> Kind:
    """Names and values: a table, or texts NAME=VALUE whose values are numbers, true, false or else text."""

    def read(value: Any, origin: str) -> dict[str, Any]:
        if isinstance(value, Mapping):
            return {str(name): given for name, given in value.items()}
        words = (value,) if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or len(words) > limits.OPTIONS_MAX:
            raise InvalidConfigError(f"{origin} is no table of options; write NAME=VALUE")
        found = {}
        for word in words:
            name, equals, given = str(word).partition("=")
            if not equals or not name.isidentifier():
                raise InvalidConfigError(
                    f"{origin} is {name!r:.40}; write NAME=VALUE, as in url=http://localhost:8080/v1"
                )
            found[name] = _scalar(given)
        return found

    return read


def chunker_name() -> Kind:
    """A name of a chunker."""

    def read(value: Any, origin: str) -> str:
        from vecdb.ingest.chunkers.choosing import CHUNKERS  # noqa: PLC0415 - the command line need not load them

        return cast(str, choice(*CHUNKERS)(value, origin))

    return read


SOURCES: Final = "Sources"
CHUNKS: Final = "Chunks"
MODEL: Final = "Model"
DESTINATION: Final = "Destination"
WORK: Final = "Work"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """Everything the ingestor may be told. Build it with `load_settings`, or directly with Python values."""

    sources: tuple[str, ...] = setting(MISSING, several(), "What to read: files, folders, globs, - and more.")
    to: str = setting(MISSING, text(), "Directory of a database, or HOST:PORT or unix:/PATH of a server.", DESTINATION)
    collection: str = setting(MISSING, text(), "Collection to write to; it is made when there is none.", DESTINATION)
    field: str | None = setting(None, text(), "Vector field to fill; made when there is none.", DESTINATION)
    metric: str = setting("cosine", choice("cosine", "dot", "l2"), "Of a collection that is made.", DESTINATION)
    dtype: str = setting("float32", choice("float32", "float16"), "Of a collection that is made.", DESTINATION)
    keep_vanished: bool = setting(
        False,
        yes_or_no(),
        "Keep records whose source is gone, as for a pipe that brings only news.",
        DESTINATION,
    )
    api_key_env: str = setting(API_KEY_VARIABLE, text(), "Variable with the server's API key, if set.", DESTINATION)
    api_key_file: str | None = setting(None, text(), "File with the server's API key.", DESTINATION)
    tls: str | None = setting(None, text(), "CA file that signed the server's certificate, or true.", DESTINATION)
    tls_cert: str | None = setting(None, text(), "PEM file with this client's certificate.", DESTINATION)
    tls_key: str | None = setting(None, text(), "PEM file with the private key of this certificate.", DESTINATION)
    insecure: bool = setting(False, yes_or_no(), "Send an API key without TLS, serve metrics to others.", DESTINATION)

    model: str | None = setting(
        None, text(), "builtin, onnx:DIR, openai:NAME …; default: the collection's, or builtin.", MODEL
    )
    model_option: Mapping[str, Any] = setting(None, options(), "Option of the model, NAME=VALUE, repeatable.", MODEL)

    chunker: str = setting(
        "auto", chunker_name(), "How texts are cut: auto, none, tokens, sentences, recursive, markdown or code.", CHUNKS
    )
    chunk_tokens: int = setting(
        CHUNK_TOKENS_DEFAULT, count(CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX), "Largest chunk, in tokens.", CHUNKS
    )
    chunk_overlap: int = setting(
        OVERLAP_TOKENS_DEFAULT, count(0, CHUNK_TOKENS_MAX), "Tokens of a chunk repeated in the next.", CHUNKS
    )

    id_field: str = setting("id", text(), "Field of a row with its id; @row numbers them.", SOURCES)
    text_field: str = setting("text", text(), "Field of a row with its text; the rest becomes metadata.", SOURCES)
    vector_field: str | None = setting(None, text(), "Field of a row with a vector made elsewhere.", SOURCES)
    format: str | None = setting(None, choice(*FORMATS), "What files are; default: as their names say.", SOURCES)
    encoding: str | None = setting(None, text(), "Of text files, or detect; default: utf-8.", SOURCES)
    delimiter: str | None = setting(None, text(), "Between the cells of CSV.", SOURCES)
    types: str = setting("text", choice("text", "infer"), "infer makes numbers and booleans of CSV cells.", SOURCES)
    include: tuple[str, ...] = setting((), several(), "Only paths in folders that match; repeatable.", SOURCES)
    exclude: tuple[str, ...] = setting((), several(), "No paths in folders that match; repeatable.", SOURCES)
    prefix: str = setting("", any_text(), "Put before the ids of files and numbered rows.", SOURCES)
    hidden: bool = setting(False, yes_or_no(), "Read dot files and folders too.", SOURCES)
    ignored: bool = setting(False, yes_or_no(), "Read what .gitignore leaves out too.", SOURCES)
    ids: str | None = setting(None, text(), "File with the ids of an array's rows.", SOURCES)
    query: str | None = setting(None, text(), "SELECT that reads a database.", SOURCES)
    dataset: str | None = setting(None, text(), "Data set of an HDF5 file.", SOURCES)

    state: str | None = setting(None, text(), "Directory of the journals and the cache of embeddings.", WORK)
    readers: int = setting(work.READERS_DEFAULT, count(1, limits.WORKERS_MAX), "Threads that read.", WORK)
    embedders: int | None = setting(
        None, count(1, limits.WORKERS_MAX), "Calls of the model at once; default: as many as suit it.", WORK
    )
    queue_bytes: int = setting(
        work.QUEUE_BYTES_DEFAULT,
        number_of_bytes(limits.QUEUE_BYTES_MIN, limits.QUEUE_BYTES_MAX),
        "Bytes that wait between the stages, for example 64MiB.",
        WORK,
    )
    cache_bytes: int = setting(
        work.CACHE_BYTES_DEFAULT,
        number_of_bytes(limits.CACHE_BYTES_MIN, limits.CACHE_BYTES_MAX),
        "Bytes of embeddings kept; the oldest go.",
        WORK,
    )
    retry_for_s: float = setting(
        work.RETRY_FOR_S, seconds(), "How long a provider or server that fails is asked again.", WORK
    )
    reread: bool = setting(False, yes_or_no(), "Read sources that look unchanged too.", WORK)
    interval_s: float = setting(limits.INTERVAL_S, seconds(0.05), "watch: how often to look at the sources.", WORK)
    debounce_s: float = setting(limits.DEBOUNCE_S, seconds(), "watch: quiet time before sources are read.", WORK)
    metrics_listen: str | None = setting(None, text(), "Address of an HTTP page with metrics for Prometheus.", WORK)

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is None and entry.name == "model_option":
                value = {}
            if value is not None:
                object.__setattr__(self, entry.name, entry.metadata["kind"](value, entry.name))
            elif entry.default is not None:
                raise InvalidConfigError(f"{entry.name} is None; leave it out for {entry.default!r}")
        object.__setattr__(self, "sources", tuple(absolute_source(source) for source in self.sources))
        _check(self)

    @property
    def destination(self) -> Destination:
        """`to`, understood."""
        return read_destination(self.to)

    @property
    def metrics_address(self) -> Address | None:
        """`metrics_listen`, parsed."""
        return None if self.metrics_listen is None else parse_address(self.metrics_listen, "metrics_listen")

    @property
    def connection(self) -> dict[str, Any]:
        """What `vecdb.connect` takes beside the address; the API key is read now, and kept nowhere."""
        given = {"ca": None if self.tls == "true" else self.tls, "cert": self.tls_cert, "key": self.tls_key}
        tls = TLSConfig(**given) if self.tls or self.tls_cert else None
        return {"api_key": _api_key(self), "tls": tls, "insecure": self.insecure}

    @property
    def pipeline(self) -> Pipeline:
        """Where the journal and the cache of this pipeline lie."""
        return Pipeline(
            root=state_root(self.state),
            destination=str(self.destination),
            collection=self.collection,
            field=self.field or "",
            sources=self.sources,
        )

    @property
    def read_options(self) -> dict[str, Any]:
        """What `sources.spec.open_source` takes as options."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.metadata["group"] == SOURCES}


def settings() -> dict[str, Field[Any]]:
    """The fields of IngestSettings by name."""
    return {entry.name: entry for entry in fields(IngestSettings)}


def flag_of(name: str) -> str:
    """How a setting is spelled on the command line."""
    return f"--{name.replace('_', '-')}"


def load_settings(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
    spell: Callable[[str], str] = flag_of,
) -> IngestSettings:
    """Put settings together. `flags` holds only what was given; `file` defaults to VECDB_INGEST_CONFIG.

    `spell` says what the caller calls a setting, for messages.
    """
    values = gathered(flags, environment, file, spell)
    for name in REQUIRED:
        if not values.get(name):
            raise InvalidConfigError(_missing(name))
    return IngestSettings(**values)


def gathered(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    file: Path | None = None,
    spell: Callable[[str], str] = flag_of,
) -> dict[str, Any]:
    """The settings that are given somewhere, each read and checked."""
    named = file or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    values: dict[str, Any] = {}
    if named is not None:
        for name, value in read_toml(named).items():
            values[name] = checked(name, value, f"{name} in {named}")
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable != FILE_VARIABLE:
            name = variable.removeprefix(PREFIX).lower()
            values[name] = checked(name, value, variable)
    for name, value in flags.items():
        values[name] = checked(name, value, spell(name))
    return values


def checked(name: str, value: Any, origin: str) -> Any:
    """The value of a setting, read; InvalidConfigError for one that there is not."""
    known = settings()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=limits.SUGGESTION_CUTOFF)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise InvalidConfigError(f"{origin}: there is no setting {name!r:.80}; {advice}", setting=name[:80])
    return known[name].metadata["kind"](value, origin)


def _missing(name: str) -> str:
    if name == "sources":
        return "no source is given: write what to read, as in vecdb ingest run docs/ --to data --collection docs"
    return f"{name} is missing: give it with --{name}, {PREFIX}{name.upper()} or {name} = ... in a file"


def _scalar(word: str) -> Any:
    """A number, true or false where the word is one in JSON, or a quoted text; else the word."""
    try:
        found = json.loads(word)
    except (ValueError, RecursionError):
        return word
    return found if isinstance(found, str | int | float) else word


def _check(given: IngestSettings) -> None:
    """What must hold between settings."""
    given.destination  # noqa: B018 - it raises for what cannot be one
    if given.chunk_overlap > given.chunk_tokens // 2:
        raise InvalidConfigError(
            f"chunk_overlap is {given.chunk_overlap}; it may be half of chunk_tokens, which is {given.chunk_tokens}"
        )
    if (given.tls_cert is None) != (given.tls_key is None):
        raise InvalidConfigError("tls_cert and tls_key belong together: one is given without the other")
    secret = next((name for name in given.model_option if name in SECRET_OPTIONS), None)
    if secret is not None:
        raise InvalidConfigError(
            f"model_option has {secret}; keys are not given here, where others may read them: put it into "
            "OPENAI_API_KEY or another variable, which --model-option key_env=NAME names"
        )
    address = given.metrics_address
    if address is not None and not address.is_local and not given.insecure:
        raise InvalidConfigError(
            f"metrics_listen is {address}, which other machines can reach; use 127.0.0.1, or insist with --insecure"
        )


def _api_key(given: IngestSettings) -> str | None:
    """The server's API key: from the file, else from the variable; None where there is none."""
    if given.api_key_file is not None:
        try:
            return Path(given.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise InvalidConfigError(f"api_key_file: {given.api_key_file!r:.200} cannot be read") from error
    key = os.environ.get(given.api_key_env)
    if key is None and given.api_key_env != API_KEY_VARIABLE:
        raise InvalidConfigError(f"api_key_env names {given.api_key_env}, and there is no such variable")
    return key or None
