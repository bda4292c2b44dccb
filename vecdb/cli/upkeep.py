"""Commands that look after a database: `verify`, `backup`, `optimize`, `calibrate`; the last two write to it.

A server does the work itself, beside what it serves; a backup lies on its own disk.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import vecdb
from vecdb.cli.inspect import collection_table, describe_collection, directory_bytes, names_of
from vecdb.cli.options import AnyCollectionName, AsJson, CollectionName, FieldName
from vecdb.cli.output import format_bytes, print_json, print_line, print_tables
from vecdb.cli.places import ApiKeyEnv, Place, Tls, open_place
from vecdb.cli.waiting import counting, waiting
from vecdb.errors import InvalidRequestError, InvalidVectorError


def verify(place: Place, *, api_key_env: ApiKeyEnv = None, tls: Tls = None, as_json: AsJson = False) -> None:
    """Read every stored value and check it. Exits with 1 when something is damaged."""
    with open_place(place, api_key_env=api_key_env, tls=tls) as db, waiting("reading and checking everything"):
        report = db.verify()
    if as_json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        for problem in report.problems:
            print_line(problem)
        verdict = "sound" if report.ok else f"{len(report.problems)} problem(s)"
        print_line(
            f"{place}: {verdict}; read {report.pages:,} pages, {report.values:,} values, "
            f"{report.records:,} records, {report.chunks:,} chunks in {report.seconds:.1f} s"
        )
    if not report.ok:
        raise typer.Exit(1)


def backup(
    place: Place,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="New directory of the copy; of a server, a new name in its own directory of backups.",
            show_default=False,
        ),
    ],
    *,
    compact: Annotated[bool, typer.Option("--compact", help="Leave out free pages; slower, a shorter file.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Copy damaged values too.", show_default=False)] = False,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Copy a database to a new directory, consistently, while others read and write it.

    A server copies to the directory that it was given for this (`vecdb serve --backups DIR`).
    """
    with open_place(place, api_key_env=api_key_env, tls=tls) as db, waiting("copying"):
        db.backup(target, compact=compact, check=not no_check)
        is_served = not isinstance(db, vecdb.Database)
    if is_served:
        document: dict[str, Any] = {"source": place, "target": target}
        told = f"{target}: written to the backups of {place}"
    else:
        with vecdb.open(target, mode="r") as copy:
            size, seq = directory_bytes(Path(target)), copy.seq
        document = {"source": place, "target": target, "file_bytes": size, "seq": seq}
        told = f"{target}: {format_bytes(size)} at seq {seq:,}"
    if as_json:
        print_json(document)
    else:
        print_line(told)


def optimize(
    place: Place,
    collection: AnyCollectionName = None,
    *,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Index everything, merge segments, drop deleted rows, free their room on the disk.

    A directory must have no other writer; a server does it while it serves.
    """
    with open_place(place, api_key_env=api_key_env, tls=tls, for_writing=True) as db:
        names = names_of(db, collection)
        for name in names:
            with counting(f"optimizing {name}") as progress:
                db.collection(name).optimize(progress=progress)
        described = [describe_collection(db.collection(name)) for name in names]
    if as_json:
        print_json({"collections": described})
    else:
        print_tables(*(collection_table(entry) for entry in described))


def calibrate(
    place: Place,
    collection: CollectionName,
    queries: Annotated[
        Path | None,
        typer.Argument(
            metavar="QUERIES.npy", help="Array of queries, (n, dim); n from 50, better 1000.", show_default=False
        ),
    ] = None,
    *,
    forget: Annotated[bool, typer.Option("--forget", help="Forget the queries kept.", show_default=False)] = False,
    field: FieldName = None,
    api_key_env: ApiKeyEnv = None,
    tls: Tls = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a target recall takes with queries of yours, where they are unlike the stored vectors."""
    if (queries is None) is not forget:
        raise InvalidRequestError("give either a file of queries, written with numpy.save, or --forget")
    matrix = None if queries is None else _read_queries(queries)
    with open_place(place, api_key_env=api_key_env, tls=tls, for_writing=True) as db, waiting("measuring recall"):
        kept = db.collection(collection).calibrate(matrix, field=field).count
    if as_json:
        print_json({"collection": collection, "kept": kept})
    else:
        print_line(
            f"{collection}: {kept:,} queries kept; searches by target recall follow "
            + ("them" if kept else "the stored vectors")
        )


def _read_queries(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The array in a .npy file. Nothing in the file is executed (no pickles)."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidVectorError(f"cannot read queries from {str(path)!r}: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2:
        raise InvalidVectorError(f"{str(path)!r} does not hold an array of shape (n, dim); write one with numpy.save")
    return array
