"""Configures a server: defaults, then a TOML file, then the environment, then flags; one set of names for all.

`max_streams = 8` in the file, `VECDB_MAX_STREAMS=8` in the environment and `--max-streams 8` are the same setting.

Promises: an unknown name is an error that suggests the nearest known one; every value is checked, and an error says
where it was read. A configuration that would serve other machines without TLS and keys is refused unless `insecure` is
set.
Invariants: a ServerConfig is frozen; its repr shows no secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from vecdb import config as limits
from vecdb.checks.addresses import Address, parse_address
from vecdb.checks.toml_file import read_toml
from vecdb.errors import InvalidConfigError
from vecdb.server.values import Kind, choice, count, number_of_bytes, seconds, text, texts, yes_or_no

PREFIX: Final = "VECDB_"
OTHER_VARIABLES: Final = frozenset({"VECDB_CACHE_DIR", "VECDB_API_KEY", "VECDB_CONFIG"})
"""Variables of this prefix that are no settings of a server."""

OTHER_PREFIX: Final = "VECDB_INGEST_"
"""Of the settings of the ingestor, which may run in the same environment."""

SECRETS: Final = frozenset({"token_secret"})
SUGGESTION_CUTOFF = 0.6


def setting(default: Any, kind: Kind, meaning: str) -> Any:
    """A field of ServerConfig: its default, how it is read and checked, and what `--help` says."""
    return field(default=default, metadata={"kind": kind, "help": meaning})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ServerConfig:
    """Everything a server may be told. Build it with `load_config`, or directly with Python values."""

    data: str = setting(MISSING, text(), "Directory of the database; it is created when there is none.")
    listen: tuple[str, ...] = setting(
        (limits.LISTEN_DEFAULT,), texts(), "Address to serve on: HOST:PORT or unix:/PATH. May be given several times."
    )
    workers: int = setting(0, count(0, limits.WORKERS_MAX), "Reader processes beside the writer; 0 serves from one.")
    backups: str | None = setting(None, text(), "Directory that backups asked for over the network are written to.")
    tls_cert: str | None = setting(None, text(), "PEM file with the server's certificate chain.")
    tls_key: str | None = setting(None, text(), "PEM file with the private key of this certificate.")
    tls_client_ca: str | None = setting(None, text(), "PEM file of the CA whose client certificates are required.")
    keys: str | None = setting(None, text(), "File of API keys (see `vecdb keys`); calls then need one.")
    insecure: bool = setting(False, yes_or_no(), "Serve other machines without TLS and keys all the same.")
    reflection: bool = setting(False, yes_or_no(), "Describe the services to tools such as grpcurl.")
    metrics_listen: str | None = setting(None, text(), "Address of an HTTP page with metrics for Prometheus.")
    tracing: bool = setting(False, yes_or_no(), "Make OpenTelemetry spans (needs opentelemetry).")
    access_log: bool = setting(True, yes_or_no(), "Log a line for every call.")
    log_level: str = setting("info", choice("debug", "info", "warning", "error"), "debug, info, warning or error.")
    log_format: str = setting("json", choice("json", "text"), "json or text.")
    durability: str = setting("fsync", choice("fsync", "async"), "fsync or async, as in vecdb.open.")
    threads: int = setting(
        limits.SERVER_THREADS_DEFAULT, count(1, limits.THREADS_MAX), "Single-reply calls worked on at once."
    )
    max_concurrent_rpcs: int = setting(
        limits.CONCURRENT_RPCS_DEFAULT, count(1, limits.THREADS_MAX), "Single-reply calls running or waiting."
    )
    max_streams: int = setting(limits.STREAMS_DEFAULT, count(1, limits.THREADS_MAX), "Streams open at once.")
    max_principal_rpcs: int = setting(
        limits.PRINCIPAL_RPCS_DEFAULT, count(1, limits.RPCS_MAX), "Calls of one API key running or waiting."
    )
    max_principal_streams: int = setting(
        limits.PRINCIPAL_STREAMS_DEFAULT, count(1, limits.THREADS_MAX), "Streams of one API key open at once."
    )
    max_in_flight_bytes: int = setting(
        limits.IN_FLIGHT_BYTES_DEFAULT,
        number_of_bytes(limits.MESSAGE_BYTES_MIN, limits.IN_FLIGHT_BYTES_MAX),
        "Bytes of requests held at once, for example 256MiB.",
    )
    max_message_bytes: int = setting(
        limits.MESSAGE_BYTES_DEFAULT,
        number_of_bytes(limits.MESSAGE_BYTES_MIN, limits.MESSAGE_BYTES_MAX),
        "Largest message, decompressed.",
    )
    max_metadata_bytes: int = setting(
        limits.METADATA_BYTES_DEFAULT,
        number_of_bytes(1_024, limits.METADATA_HEADER_BYTES_MAX),
        "Largest metadata of a call.",
    )
    max_connection_rpcs: int = setting(
        limits.CONNECTION_RPCS_DEFAULT, count(1, limits.RPCS_MAX), "Calls at once on one connection."
    )
    early_receipt: bool = setting(
        True, yes_or_no(), "Receive messages before calls have threads, where this release of grpcio lets us."
    )
    drain_s: float = setting(limits.DRAIN_S, seconds(), "How long calls under way may take after SIGTERM.")
    body_timeout_s: float = setting(limits.BODY_TIMEOUT_S, seconds(0.1), "Time for the message of a call to arrive.")
    handshake_timeout_s: float = setting(limits.HANDSHAKE_TIMEOUT_S, seconds(0.1), "Time to set a connection up.")
    connection_idle_s: float = setting(limits.CONNECTION_IDLE_S, seconds(1), "Close connections idle for this long.")
    connection_age_s: float = setting(limits.CONNECTION_AGE_S, seconds(1), "Renew connections after this long.")
    keepalive_s: float = setting(limits.KEEPALIVE_S, seconds(1), "Ping quiet connections this often.")
    keepalive_timeout_s: float = setting(limits.KEEPALIVE_TIMEOUT_S, seconds(1), "Time for the answer to a ping.")
    token_secret: str | None = setting(None, text(), "Key of page tokens; default: one for these data.")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if value is not None or entry.default is not None:
                object.__setattr__(self, entry.name, entry.metadata["kind"](value, entry.name))
        _check_tls(self)
        _check_exposure(self)
        if self.workers and self.data == ":memory:":
            raise InvalidConfigError("workers needs data in a directory: another process cannot see ':memory:'")
        if self.workers and all(address.path for address in self.addresses):
            raise InvalidConfigError(
                f"workers is {self.workers}, but listen has no HOST:PORT: several processes cannot accept on one "
                "unix:/PATH; add an address such as 127.0.0.1:50051, or leave workers out"
            )

    def __repr__(self) -> str:
        shown = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        masked = {name: "***" if name in SECRETS and value else value for name, value in shown.items()}
        return f"ServerConfig({', '.join(f'{name}={value!r}' for name, value in masked.items())})"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """`listen`, parsed."""
        return tuple(parse_address(word, "listen") for word in self.listen)

    @property
    def metrics_address(self) -> Address | None:
        """`metrics_listen`, parsed."""
        return None if self.metrics_listen is None else parse_address(self.metrics_listen, "metrics_listen")


def settings() -> dict[str, Field[Any]]:
    """The fields of ServerConfig by name."""
    return {entry.name: entry for entry in fields(ServerConfig)}


def load_config(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> ServerConfig:
    """Put a configuration together. `flags` holds only what was given; `file` defaults to VECDB_CONFIG."""
    named = file or (Path(environment["VECDB_CONFIG"]) if environment.get("VECDB_CONFIG") else None)
    values: dict[str, Any] = {}
    if named is not None:
        for name, value in read_toml(named).items():
            values[name] = _checked(name, value, f"{name} in {named}")
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and not variable.startswith(OTHER_PREFIX) and variable not in OTHER_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            values[name] = _checked(name, value, variable)
    for name, value in flags.items():
        values[name] = _checked(name, value, f"--{name.replace('_', '-')}")
    if "data" not in values:
        raise InvalidConfigError("data is missing: give the directory with --data, VECDB_DATA or data = ... in a file")
    return ServerConfig(**values)


def _checked(name: str, value: Any, origin: str) -> Any:
    known = settings()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=SUGGESTION_CUTOFF)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        raise InvalidConfigError(f"{origin}: there is no setting {name!r:.80}; {advice}", setting=name[:80])
    return known[name].metadata["kind"](value, origin)


def _check_tls(config: ServerConfig) -> None:
    if (config.tls_cert is None) != (config.tls_key is None):
        given, missing = ("tls_cert", "tls_key") if config.tls_key is None else ("tls_key", "tls_cert")
        raise InvalidConfigError(f"{given} is set without {missing}; TLS needs both")
    if config.tls_client_ca is not None and config.tls_cert is None:
        raise InvalidConfigError("tls_client_ca is set without tls_cert and tls_key; client certificates need TLS")


def _check_exposure(config: ServerConfig) -> None:
    """Refuse to serve other machines in the clear, or whoever comes, unless that is spelled out."""
    if not config.addresses:
        raise InvalidConfigError("listen is empty; give at least one address")
    if config.insecure:
        return
    public = [str(address) for address in config.addresses if not address.is_local]
    missing = [] if config.tls_cert else ["TLS (tls_cert, tls_key)"]
    missing += [] if config.keys or config.tls_client_ca else ["API keys (keys) or client certificates (tls_client_ca)"]
    if public and missing:
        raise InvalidConfigError(
            f"listen has {public[0]}, which other machines can reach, without {' and '.join(missing)}; "
            "add them, listen on 127.0.0.1 or unix:/PATH, or insist with --insecure"
        )
    metrics = config.metrics_address
    if metrics is not None and not metrics.is_local:
        raise InvalidConfigError(
            f"metrics_listen is {metrics}, which other machines can reach without a key; "
            "use 127.0.0.1, or insist with --insecure"
        )
