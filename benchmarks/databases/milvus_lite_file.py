"""milvus-lite: Milvus' local engine in Python, reached through pymilvus as its documentation shows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from benchmarks.databases.protocol import COLUMNS, INDEXED, DatabaseSpec, Hits, Matrix, Metadata, Place

METRICS = {"cosine": "COSINE", "dot": "IP", "l2": "L2"}
NAME = "docs"
CHARS_MAX = 65_535
WORDS_MAX = 256


class MilvusLite:
    """A client of a local file, whose server is a thread of this process."""

    def __init__(self, place: Place) -> None:
        self._library: Any = import_module("pymilvus")
        self._place = place
        self._client: Any = None
        self._params: dict[str, Any] = {}

    def _connect(self) -> None:
        self._client = self._library.MilvusClient(str(self._place.path / "milvus.db"))

    def create(self) -> None:
        kinds = self._library.DataType
        strings = {"element_type": kinds.VARCHAR, "max_capacity": WORDS_MAX, "max_length": CHARS_MAX}
        types = {
            "integer": (kinds.INT64, {}),
            "string": (kinds.VARCHAR, {"max_length": CHARS_MAX}),
            "strings": (kinds.ARRAY, strings),
        }
        self._connect()
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", kinds.VARCHAR, is_primary=True, max_length=256)
        for name, kind in COLUMNS.items():
            schema.add_field(name, types[kind][0], **types[kind][1])
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=self._place.dim)
        indexes = self._client.prepare_index_params()
        graph = {"M": 16, "efConstruction": 200}
        indexes.add_index("vector", index_type="HNSW", metric_type=METRICS[self._place.metric], params=graph)
        for name in INDEXED:
            indexes.add_index(name, index_type="INVERTED")
        self._client.create_collection(NAME, schema=schema, index_params=indexes)

    def open(self) -> None:
        self._connect()
        self._client.load_collection(NAME)

    def insert(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._client.insert(NAME, _rows(ids, vectors, metadata))

    def replace(self, ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> None:
        self._client.upsert(NAME, _rows(ids, vectors, metadata))

    def delete(self, ids: Sequence[str]) -> None:
        self._client.delete(NAME, ids=list(ids))

    def make_ready(self) -> None:
        self._client.flush(NAME)
        self._client.load_collection(NAME)

    def set_effort(self, effort: int) -> None:
        self._params = {"params": {"ef": effort}}

    def search(self, query: Matrix, k: int) -> Hits:
        return self._search([query], k, "")[0]

    def search_filtered(self, query: Matrix, k: int, column: str, below: int) -> Hits:
        return self._search([query], k, f"{column} < {below}")[0]

    def search_batch(self, queries: Matrix, k: int) -> list[Hits]:
        return self._search(list(queries), k, "")

    def _search(self, queries: list[Matrix], k: int, where: str) -> list[Hits]:
        found = self._client.search(
            NAME, queries, filter=where, limit=k, output_fields=list(COLUMNS), search_params=self._params
        )
        return [[(hit["id"], hit["entity"]) for hit in hits] for hits in found]

    def close(self) -> None:
        self._client.close()
        import_module("milvus_lite.server_manager").server_manager_instance.release_all()


def _rows(ids: Sequence[str], vectors: Matrix, metadata: Sequence[Metadata]) -> list[dict[str, Any]]:
    rows = zip(ids, vectors, metadata, strict=True)
    return [{"id": key, "vector": vector, **fields} for key, vector, fields in rows]


SPEC = DatabaseSpec(
    name="milvus-lite",
    make=MilvusLite,
    distributions=("milvus-lite", "pymilvus", "faiss-cpu"),
    efforts=(10, 16, 24, 32, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512),
    tuning=(
        "HNSW with M 16 and efConstruction 200, INVERTED indexes of bucket and region, flush() at the end; its log is"
        " written but not synced with a batch, since flush() would make a segment of each."
    ),
)
