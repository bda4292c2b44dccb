"""Commands that search: `search` and `recall`. They open a database for reading, beside any writer, or ask a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import typer

from vecdb.checks.options import check_count
from vecdb.cli.ids import find_record
from vecdb.cli.options import (
    AsJson,
    CollectionName,
    Ef,
    FieldName,
    FilterText,
    IdType,
    IdTypeOption,
    TargetRecall,
    read_filter_text,
)
from vecdb.cli.output import compact_json, print_json, print_line, print_tables, table
from vecdb.cli.places import ApiKeyEnv, Place, Tls, open_place
from vecdb.config import LIMIT_MAX
from vecdb.errors import InvalidRequestError, InvalidVectorError, RecordNotFoundError
from vecdb.fingerprint import require_same_model
from vecdb.ingest.operation.settings import options as read_options

if TYPE_CHECKING:
    from vecdb.cli.places import AnyCollection
    from vecdb.fingerprint import ModelFingerprint
    from vecdb.types import FloatArray, Hit, RecordId

ModelName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model to embed the text with: builtin, onnx:DIR, openai:NAME …; default: the collection's own.",
        show_default=False,
    ),
]
ModelOptions: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--model-option", metavar="NAME=VALUE", help="Option of the model; repeatable.", show_default=False),
]


def search(
    place: Place,
    collection: CollectionName,
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="Search for this text, by the collection's model.", show_default=False),
    ] = None,
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
    model: ModelName = None,
    model_option: ModelOptions = None,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Find the records nearest to a text, to a stored record (left out itself) or to a vector in a .npy file.

    A text is embedded by the model that the collection stores, so that vectors of one model are compared.
    """
    if sum(given is not None for given in (text, like, vector)) != 1:
        raise InvalidRequestError('give exactly one of "TEXT", --like ID and --vector FILE.npy')
    if text is not None and not text.strip():
        raise InvalidRequestError("TEXT is empty; write what to search for")
    if text is None and (model is not None or model_option):
        raise InvalidRequestError("--model embeds a text; --like and --vector have their vectors already")
    check_count("limit", limit)  # before one is added for the record itself
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
        source = db.collection(collection)
        itself, fingerprint = None, None
        if text is not None:
            query, fingerprint = embedded(source, text, field, model, model_option or [])
        elif vector is not None:
            query = read_vector(vector)
        else:
            query, itself = like_vector(source, str(like), field, id_type)
        result = source.search(
            query,
            limit=limit if itself is None else min(limit + 1, LIMIT_MAX),
            field=field,
            ef=ef,
            target_recall=target_recall,
            exact=exact,
            filter=read_filter_text(filter_text),
            explain=explain,
            model=fingerprint,
        )
    hits = [hit for hit in result if itself is None or hit.id != itself][:limit]
    _print_hits(collection, hits, str(result.explain) if explain else None, as_json=as_json)


def recall(
    place: Place,
    collection: CollectionName,
    *,
    k: Annotated[int, typer.Option("--k", help="Compare the best k hits.")] = 10,
    sample: Annotated[int, typer.Option("--sample", help="Number of stored records used as queries.")] = 200,
    field: FieldName = None,
    ef: Ef = None,
    target_recall: TargetRecall = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the choice of queries.")] = 0,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Measure recall@k of approximate against exact search on a sample of the stored records."""
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
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


def embedded(
    collection: AnyCollection, text: str, field: str | None, model: str | None, model_option: list[str]
) -> tuple[FloatArray, ModelFingerprint]:
    """The vector of a text as a query, and the model that made it: the collection's own, or one that must be that."""
    from vecdb.ingest.embedders.opening import open_embedder, open_same  # noqa: PLC0415 - only texts need a model

    options = read_options()(model_option, "--model-option")
    stored = collection.model(field)
    if model is not None:
        embedder = open_embedder(model, **options)
    elif stored is not None:
        embedder = open_same(stored, collection=collection.name, **options)
    else:
        raise InvalidRequestError(
            f"collection {collection.name!r} does not say which model its vectors are of, so no text can be compared "
            "with them; name the model with --model, or search with --like ID or --vector FILE.npy "
            "(collection.set_model stores a model for good)",
            collection=collection.name,
        )
    try:
        if stored is not None:
            require_same_model(stored, embedder.fingerprint, collection=collection.name)
        return embedder.embed([text], role="query")[0], embedder.fingerprint
    finally:
        embedder.close()


def like_vector(
    collection: AnyCollection, word: str, field: str | None, id_type: IdType
) -> tuple[FloatArray, RecordId]:
    """The stored vector of the record that `word` names, and the record's id."""
    record = find_record(collection, word, id_type, with_vectors=True)
    if record is None:
        raise RecordNotFoundError(f"no record {word!r} in collection {collection.name!r}", collection=collection.name)
    name = collection.main_field if field is None else field
    vector = None if name is None else record.vectors.get(name)
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
