"""States the types that users of the public API see. mypy checks this file; nothing runs it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import numpy as np
import numpy.typing as npt

import vecdb
from vecdb.ingest.embedders.protocol import Embedder
from vecdb.ingest.journal.states import Failure
from vecdb.ingest.operation.history import PipelineStatus
from vecdb.ingest.pipeline.reports import PlanReport, RunReport
from vecdb.types import FieldStats, FloatArray, Metadata, RecordId


def opening(path: Path) -> None:
    with vecdb.open(path) as db:
        assert_type(db, vecdb.Database)
    with vecdb.open(str(path), "r", create=False) as reader:
        assert_type(reader.list_collections(), list[str])
    db = vecdb.open(":memory:", durability="async", config=vecdb.EngineConfig(threads=1))
    assert_type(db.seq, int)
    assert_type("docs" in db, bool)
    db.close()


def creating(db: vecdb.Database) -> None:
    assert_type(db.create_collection("docs", dim=3), vecdb.Collection)
    assert_type(
        db.create_collection("shop", fields={"text": vecdb.Field(dim=3), "image": vecdb.Field(dim=4)}), vecdb.Collection
    )
    assert_type(db.create_collection("l2", dim=3, metric="l2", ttl_field="until", exist_ok=True), vecdb.Collection)
    assert_type(db.collection("docs").fields, dict[str, vecdb.Field])
    db.drop_collection("docs")


def writing(docs: vecdb.Collection, vectors: FloatArray) -> None:
    assert_type(docs.upsert(["a", 1, uuid.uuid4()], vectors), vecdb.WriteResult)
    docs.upsert(["a", "b"], [[1.0, 2.0], [3.0, 4.0]], [{"page": 1}, {}])
    docs.upsert(["a"], {"text": vectors, "image": vectors})
    docs.upsert([{"id": "a", "vector": vectors[0], "metadata": {"page": 1}}])
    docs.insert(["a", 1], vectors)
    docs.update("a", vector=vectors[0], metadata={"page": 2})
    assert_type(docs.delete(ids=["a", 1]).count, int)
    docs.upsert(["a", "b"], vectors, if_version=[3, None], expires_at=[datetime(2030, 1, 1, tzinfo=UTC), "never"])
    docs.insert(["c"], vectors, expires_at="never")
    docs.update("a", expires_at=datetime(2030, 1, 1, tzinfo=UTC), if_version=7)
    docs.delete("a", if_version=8)


def writing_together(db: vecdb.Database, vectors: FloatArray) -> None:
    with db.transaction() as tx:
        assert_type(tx, vecdb.Transaction)
        tx.collection("docs").upsert(["a"], vectors, if_version=0)
        tx.collection("shop").update("a", metadata={"page": 2})
    assert_type(tx.result, vecdb.WriteResult)


def changing_fields(docs: vecdb.Collection, remote: vecdb.RemoteCollection, vectors: FloatArray) -> None:
    model = vecdb.ModelFingerprint(provider="builtin", name="m", dim=3)
    docs.add_field("next", vecdb.Field(dim=3, model=model, follows=("text",)), exist_ok=True)
    assert_type(docs.set_vectors(["a"], {"next": vectors}, if_version=[3], model={"next": model}), vecdb.WriteResult)
    docs.switch_field("default", "next", keep_as="before", unless=~vecdb.F.has_vector("next"))
    docs.drop_field("before")
    docs.set_model(model)
    assert_type(docs.model("default"), vecdb.ModelFingerprint | None)
    assert_type(docs.main_field, str | None)
    docs.search(vectors[0], model=model)
    assert_type(remote.model(), vecdb.ModelFingerprint | None)
    remote.add_field("next", vecdb.Field(dim=3))
    remote.ingest([{"ids": ["a"], "vectors": vectors, "delete": ["b"]}])


async def changing_fields_async(docs: vecdb.AsyncCollection, vectors: FloatArray) -> None:
    await docs.add_field("next", vecdb.Field(dim=3))
    assert_type(await docs.set_vectors(["a"], {"next": vectors}), vecdb.WriteResult)
    assert_type(await docs.model(), vecdb.ModelFingerprint | None)


def versions(record: vecdb.Record, docs: vecdb.Collection) -> None:
    assert_type(record.version, int)
    assert_type(record.expires_at, datetime | None)
    assert_type(docs.ttl_field, str | None)


def reading(docs: vecdb.Collection) -> None:
    assert_type(docs.get("a"), vecdb.Record | None)
    assert_type(docs.get(["a", 1]), list[vecdb.Record | None])
    assert_type(docs.scroll(limit=10), vecdb.Page)
    assert_type(docs.scroll(cursor=docs.scroll().cursor).records, tuple[vecdb.Record, ...])
    assert_type(docs.iterate(with_vectors=True), Iterator[vecdb.Record])
    assert_type(docs.count(), int)
    assert_type(len(docs), int)
    assert_type("a" in docs, bool)


def searching(docs: vecdb.Collection, query: FloatArray) -> None:
    result = docs.search(query, limit=10, field=None, ef=50, with_vectors=True, min_seq=1)
    assert_type(result, vecdb.SearchResult)
    assert_type(result[0], vecdb.Hit)
    assert_type(result[:3], list[vecdb.Hit])
    assert_type(result.ids, list[RecordId])
    assert_type(result.scores, npt.NDArray[np.float32])
    assert_type(result[0].metadata, Metadata | None)
    batch = docs.search_batch(np.stack([query, query]), limit=10, target_recall=0.9)
    for streamed in docs.search_stream([np.stack([query, query])], 10, target_recall=0.9, with_metadata=True):
        assert_type(streamed, vecdb.BatchResult)
    assert_type(batch, vecdb.BatchResult)
    assert_type(batch[0], vecdb.SearchResult)
    assert_type(batch.ids, npt.NDArray[np.object_])


def looking_after(db: vecdb.Database, docs: vecdb.Collection) -> None:
    docs.wait_indexed(timeout_s=10.0)
    docs.optimize()
    assert_type(docs.measure_recall(k=10, sample=50), vecdb.RecallReport)
    assert_type(docs.stats(), vecdb.CollectionStats)
    assert_type(docs.stats().fields, Mapping[str, FieldStats])
    assert_type(db.verify(), vecdb.VerifyReport)
    assert_type(db.verify().problems, tuple[str, ...])
    db.backup("copy", compact=True)
    db.refresh()
    db.warm_up()


def hits_are_a_sequence(result: vecdb.SearchResult) -> Sequence[vecdb.Hit]:
    return result


def connecting(path: Path) -> None:
    with vecdb.connect("localhost:50051", api_key="k", tls=vecdb.TLSConfig(ca=path), timeout_s=5) as db:
        assert_type(db, vecdb.RemoteDatabase)
        docs = db.create_collection("docs", dim=3)
        assert_type(docs, vecdb.RemoteCollection)
        assert_type(docs.upsert(["a"], [[1.0, 2.0, 3.0]]), vecdb.WriteResult)
        assert_type(docs.ingest([(["a"], [[1.0, 2.0, 3.0]])], mode="insert"), vecdb.WriteResult)
        assert_type(docs.with_timeout(60).search([1.0, 2.0, 3.0]), vecdb.SearchResult)
        assert_type(docs.get("a"), vecdb.Record | None)
        assert_type(docs.get(["a"]), list[vecdb.Record | None])
        assert_type("a" in docs, bool)
        with db.transaction() as tx:
            tx.collection("docs").delete("a")
        assert_type(tx.result, vecdb.WriteResult)


async def connecting_async() -> None:
    async with await vecdb.connect_async("unix:/run/vecdb", tls=True) as db:
        assert_type(db, vecdb.AsyncDatabase)
        docs = await db.collection("docs")
        assert_type(docs, vecdb.AsyncCollection)
        assert_type(await docs.upsert(["a"], [[1.0, 2.0, 3.0]]), vecdb.WriteResult)
        assert_type(await docs.search([1.0, 2.0, 3.0]), vecdb.SearchResult)
        assert_type(await docs.get("a"), vecdb.Record | None)
        assert_type(await docs.indexes, tuple[vecdb.IndexInfo, ...])
        assert_type(await db.seq, int)
        async for record in docs.iterate():
            assert_type(record, vecdb.Record)
        async with db.transaction() as tx:
            await (await tx.collection("docs")).delete("a")
        assert_type(tx.result, vecdb.WriteResult)


def ingesting(db: vecdb.RemoteDatabase, folder: Path) -> None:
    report = vecdb.ingest.run(folder, to="localhost:50051", collection="docs", chunk_tokens=128, include=["*.md"])
    assert_type(report, RunReport)
    assert_type(report.counts.stored, int)
    assert_type(vecdb.ingest.plan(["a", folder], to=folder, collection="docs"), PlanReport)
    assert_type(vecdb.ingest.retry("a", to=folder, collection="docs", only=["x", 1]), RunReport)
    assert_type(vecdb.ingest.watch("a", to=folder, collection="docs"), Iterator[RunReport])
    assert_type(vecdb.ingest.status(), list[PipelineStatus])
    assert_type(vecdb.ingest.failed(collection="docs"), list[Failure])
    assert_type(vecdb.ingest.open_model(db.collection("docs")), Embedder)
