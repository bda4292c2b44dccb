"""Commands that look at a database: `info`, `get`, `count`. They read it beside any writer, or ask its server."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vecdb
from vecdb.cli.ids import find_record
from vecdb.cli.options import (
    AnyCollectionName,
    AsJson,
    CollectionName,
    FilterText,
    IdType,
    IdTypeOption,
    read_filter_text,
)
from vecdb.cli.output import compact_json, format_bytes, print_json, print_line, print_tables, table
from vecdb.cli.places import ApiKeyEnv, Place, Tls, open_place
from vecdb.fingerprint import ModelFingerprint
from vecdb.storage.manifest import read_manifest

if TYPE_CHECKING:
    from rich.table import Table

    from vecdb import Field
    from vecdb.cli.places import AnyCollection, AnyDatabase
    from vecdb.types import Record

FIELD_COLUMNS = ("field", "dim", "metric", "dtype", "m", "rows", "segments", "tail rows", "dead rows", "index")


def info(
    place: Place,
    collection: AnyCollectionName = None,
    *,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Show what a database holds: collections, fields, records, segments, sizes."""
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
        names = names_of(db, collection)
        document = {
            **_describe_database(db),
            "collections": [describe_collection(db.collection(name)) for name in names],
        }
    if as_json:
        print_json(document)
        return
    told = [f"seq {document['seq']:,}", f"{len(document['collections'])} collection(s)"]
    if "path" in document:
        told[:1] = [f"format {document['format_version']}", told[0], f"{format_bytes(document['file_bytes'])} on disk"]
    print_line(f"{document.get('path') or document['address']}: {', '.join(told)}")
    print_tables(*(collection_table(entry) for entry in document["collections"]))


def names_of(db: AnyDatabase, collection: str | None) -> list[str]:
    """The collection that a command names, or all of them."""
    return db.list_collections() if collection is None else [collection]


def get(
    place: Place,
    collection: CollectionName,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of records.", show_default=False)],
    *,
    with_vectors: Annotated[bool, typer.Option("--vectors", help="Print the vectors too.")] = False,
    id_type: IdTypeOption = IdType.AUTO,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Print records by id. Exits with 1 when one of them does not exist."""
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
        source = db.collection(collection)
        found = {word: find_record(source, word, id_type, with_vectors=with_vectors) for word in ids}
    records = [record for record in found.values() if record is not None]
    missing = [word for word, record in found.items() if record is None]
    if as_json:
        print_json({"records": [_describe_record(record) for record in records], "missing": missing})
    else:
        for record in records:
            print_line(compact_json(_describe_record(record)))
        for word in missing:
            typer.echo(f"vecdb: no record {word!r} in collection {collection!r}", err=True)
    if missing:
        raise typer.Exit(1)


def count(
    place: Place,
    collection: AnyCollectionName = None,
    *,
    filter_text: FilterText = None,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Count the records of a collection, or of each; all, or those that match a filter."""
    wanted = read_filter_text(filter_text)
    with open_place(place, api_key_env=api_key_env, tls=tls) as db:
        names = names_of(db, collection)
        counts = {name: db.collection(name).count(wanted) for name in names}
    if as_json:
        print_json({"counts": counts, "total": sum(counts.values())})
    elif collection is not None:
        print_line(str(counts[collection]))
    else:
        print_tables(table("records", ("collection", "records"), counts.items()))


def describe_collection(collection: AnyCollection) -> dict[str, Any]:
    """The definition and the state of a collection, as plain data."""
    stats = collection.stats()
    declared = collection.fields
    fields = [
        {"name": name, **asdict(declared[name]), "model": _describe_model(declared[name]), **asdict(state)}
        for name, state in stats.fields.items()
        if name in declared
    ]
    indexes = [asdict(index) for index in collection.indexes]
    return {"name": stats.name, "records": stats.records, "fields": fields, "indexes": indexes}


def _describe_model(field: Field) -> dict[str, Any] | None:
    return None if field.model is None else field.model.to_dict()


def collection_table(entry: dict[str, Any]) -> Table:
    """One row per field of a collection described by `describe_collection`; models where there are any."""
    shown = ("name", "dim", "metric", "dtype", "m", "rows", "segments", "tail_rows", "dead_rows")
    rows = [[*(field[key] for key in shown), format_bytes(field["index_bytes"])] for field in entry["fields"]]
    models = [field["model"] for field in entry["fields"]]
    columns = list(FIELD_COLUMNS)
    if any(models):
        columns.append("model")
        for row, model in zip(rows, models, strict=True):
            row.append("" if model is None else str(ModelFingerprint.from_dict(model)))
    if any(field["calibrated_with"] for field in entry["fields"]):
        columns.append("calibrated with")
        for row, field in zip(rows, entry["fields"], strict=True):
            row.append(f"{field['calibrated_with']:,} queries" if field["calibrated_with"] else "")
    indexes = ", ".join(f"{index['path']} ({index['kind']})" for index in entry["indexes"])
    title = f"{entry['name']}: {entry['records']:,} record(s)" + (f", indexes: {indexes}" if indexes else "")
    return table(title, columns, rows)


def directory_bytes(directory: Path) -> int:
    """What all files of a database take on the disk: holes, where free pages lay, take nothing."""
    files = [entry.stat() for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)]
    return sum(min(file.st_size, file.st_blocks * 512) for file in files)


def _describe_database(db: AnyDatabase) -> dict[str, Any]:
    """What is known of it: a server keeps its files to itself."""
    if not isinstance(db, vecdb.Database):
        return {"address": db.address, "uuid": str(db.uuid), "seq": db.seq}
    manifest = read_manifest(Path(db.path))
    return {
        "path": db.path,
        "uuid": manifest.uuid,
        "format_version": manifest.format_version,
        "created": manifest.created,
        "seq": db.seq,
        "file_bytes": directory_bytes(Path(db.path)),
    }


def _describe_record(record: Record) -> dict[str, Any]:
    document = {"id": record.id, "metadata": record.metadata}
    return {**document, "vectors": dict(record.vectors)} if record.vectors else document
