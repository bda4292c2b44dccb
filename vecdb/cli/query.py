"""Commands that search: `search` and `recall`. They open the database for reading, beside any writer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

import vecdb
from vecdb.cli.ids import find_record
from vecdb.cli.options import (
    AsJson,
    CollectionName,
    Directory,
    Ef,
    FieldName,
    FilterText,
    IdType,
    IdTypeOption,
    TargetRecall,
    read_filter_text,
)
from vecdb.cli.output import compact_json, print_json, print_line, print_tables, table
from vecdb.config import LIMIT_MAX
from vecdb.errors import InvalidRequestError, InvalidVectorError, RecordNotFoundError

if TYPE_CHECKING:
    from vecdb import Collection
    from vecdb.types import FloatArray, Hit, RecordId


def search(
    directory: Directory,
    collection: CollectionName,
    *,
    like: Annotated[
        str | None, typer.Option("--like", metavar="ID", help="Search for records like this one.", show_default=False)
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option("--vector", metavar="FILE.npy", help="Search with the vector in this file.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Number of hits.")] = 10,
    field: FieldName = None,
    ef: Ef = None,
    target_recall: TargetRecall = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every record; slow and complete.")] = False,
    filter_text: FilterText = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the search was answered.")] = False,
    id_type: IdTypeOption = IdType.AUTO,
    as_json: AsJson = False,
) -> None:
    """Find the nearest records to a stored record (left out itself) or to a vector in a .npy file."""
    if (like is None) == (vector is None):
        raise InvalidRequestError("give either --like ID or --vector FILE.npy")
    with vecdb.open(directory, mode="r") as db:
        source = db.collection(collection)
        query, itself = (read_vector(vector), None) if vector else like_vector(source, str(like), field, id_type)
        result = source.search(
            query,
            limit=limit if itself is None else min(limit + 1, LIMIT_MAX),
            field=field,
            ef=ef,
            target_recall=target_recall,
            exact=exact,
            filter=read_filter_text(filter_text),
            explain=explain,
        )
    hits = [hit for hit in result if itself is None or hit.id != itself][:limit]
    _print_hits(collection, hits, str(result.explain) if explain else None, as_json=as_json)


def recall(
    directory: Directory,
    collection: CollectionName,
    *,
    k: Annotated[int, typer.Option("--k", help="Compare the best k hits.")] = 10,
    sample: Annotated[int, typer.Option("--sample", help="Number of stored records used as queries.")] = 200,
    field: FieldName = None,
    ef: Ef = None,
    target_recall: TargetRecall = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of queries.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure recall@k of approximate against exact search on a sample of the stored records."""
    with vecdb.open(directory, mode="r") as db:
        report = db.collection(collection).measure_recall(
            k=k, sample=sample, ef=ef, target_recall=target_recall, field=field, seed=seed
        )
    if as_json:
        print_json({"collection": collection, **asdict(report)})
    else:
        print_line(
            f"recall@{report.k} {report.recall:.4f} (95 % interval {report.low:.4f} to {report.high:.4f}, "
            f"{report.sample} queries)"
        )


def read_vector(path: Path) -> FloatArray:
    """The vector in a .npy file of shape (dim,) or (1, dim). Nothing in the file is executed (no pickles)."""
    try:
        # mapped, not read: a header that promises more than the file holds fails here instead of taking the memory
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidVectorError(f"cannot read a vector from {str(path)!r}: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InvalidVectorError(f"{str(path)!r} does not hold an array of numbers; write one with numpy.save")
    if array.ndim == 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 1:
        raise InvalidVectorError(f"{str(path)!r} holds an array of shape {array.shape}; one vector has shape (dim,)")
    return np.array(array, dtype=np.float32)


def like_vector(collection: Collection, word: str, field: str | None, id_type: IdType) -> tuple[FloatArray, RecordId]:
    """The stored vector of the record that `word` names, and the record's id."""
    record = find_record(collection, word, id_type, with_vectors=True)
    if record is None:
        raise RecordNotFoundError(f"no record {word!r} in collection {collection.name!r}", collection=collection.name)
    vector = record.vector if field is None else record.vectors.get(field)
    if vector is None:
        held = ", ".join(record.vectors) or "none"
        raise InvalidRequestError(f"record {word!r} has vectors for: {held}; choose one with --field")
    return vector, record.id


def _print_hits(collection: str, hits: list[Hit], explanation: str | None, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {"collection": collection, "hits": [_describe_hit(hit) for hit in hits]}
        print_json(document if explanation is None else {**document, "explain": explanation})
        return
    rows = (
        (rank, str(hit.id), hit.score, hit.distance, compact_json(hit.metadata))
        for rank, hit in enumerate(hits, start=1)
    )
    print_tables(table(f"{collection}: {len(hits)} hit(s)", ("", "id", "score", "distance", "metadata"), rows))
    if explanation is not None:
        print_line(explanation)


def _describe_hit(hit: Hit) -> dict[str, Any]:
    return {"id": hit.id, "score": hit.score, "distance": hit.distance, "metadata": hit.metadata}
