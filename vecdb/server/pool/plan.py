"""What a process of a pool is told at its start. Apart from what carries it out, which the supervisor need not load.

Concurrency: frozen values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, TypeAlias

from vecdb.config import SECONDS_MAX, EngineConfig
from vecdb.server.settings import ServerConfig

Part: TypeAlias = Literal["writer", "worker"]

SOCKET: Final = "writer"


@dataclass(frozen=True, slots=True)
class Plan:
    """The part that a process plays, and all it needs to know for that."""

    part: Part
    config: ServerConfig
    engine: EngineConfig
    folder: str
    secret: str

    def facts(self) -> dict[str, Any]:
        """The plan as JSON values."""
        config = {entry.name: getattr(self.config, entry.name) for entry in fields(self.config)}
        return {
            **{entry.name: getattr(self, entry.name) for entry in fields(self)},
            "config": config,
            "engine": asdict(self.engine),
        }

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Plan:
        """The plan that `facts` describe."""
        config = ServerConfig(**facts["config"])
        return cls(facts["part"], config, EngineConfig(**facts["engine"]), facts["folder"], facts["secret"])

    @property
    def socket(self) -> str:
        """Address of the writer's own socket."""
        return f"unix:{self.folder}/{SOCKET}"

    def for_writer(self) -> ServerConfig:
        """The configuration of the writer's server: its workers come on few connections, which must not age."""
        paths = [str(address) for address in self.config.addresses if address.path]
        return replace(
            self.config,
            listen=(self.socket, *paths),
            workers=0,
            reflection=self.config.reflection and bool(paths),
            max_connection_rpcs=self.config.max_concurrent_rpcs + self.config.max_streams,
            connection_idle_s=SECONDS_MAX,
            connection_age_s=SECONDS_MAX,
        )

    def for_worker(self) -> ServerConfig:
        """The configuration of a worker's server."""
        shared = tuple(str(address) for address in self.config.addresses if not address.path)
        return replace(self.config, listen=shared, workers=0)
