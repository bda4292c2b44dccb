"""Commands that look after a database: `verify`, `backup`, `optimize`. Only `optimize` opens it for writing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import vecdb
from vecdb.cli.inspect import collection_table, describe_collection, directory_bytes
from vecdb.cli.options import AnyCollectionName, AsJson, Directory
from vecdb.cli.output import format_bytes, print_json, print_line, print_tables


def verify(directory: Directory, *, as_json: AsJson = False) -> None:
    """Read every stored value and check it. Exits with 1 when something is damaged."""
    with vecdb.open(directory, mode="r") as db:
        report = db.verify()
    if as_json:
        print_json({"ok": report.ok, **asdict(report)})
    else:
        for problem in report.problems:
            print_line(problem)
        verdict = "sound" if report.ok else f"{len(report.problems)} problem(s)"
        print_line(
            f"{directory}: {verdict}; read {report.pages:,} pages, {report.values:,} values, "
            f"{report.records:,} records, {report.chunks:,} chunks in {report.seconds:.1f} s"
        )
    if not report.ok:
        raise typer.Exit(1)


def backup(
    directory: Directory,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="New directory of the copy.", show_default=False)],
    *,
    compact: Annotated[bool, typer.Option("--compact", help="Leave out free pages; slower, a shorter file.")] = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Copy damaged values too.", show_default=False)] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a database to a new directory, consistently, while others read and write it."""
    with vecdb.open(directory, mode="r") as db:
        db.backup(target, compact=compact, check=not no_check)
    with vecdb.open(target, mode="r") as copy:
        size, seq = directory_bytes(target), copy.seq
    if as_json:
        print_json({"source": str(directory), "target": str(target), "file_bytes": size, "seq": seq})
    else:
        print_line(f"{target}: {format_bytes(size)} at seq {seq:,}")


def optimize(directory: Directory, collection: AnyCollectionName = None, *, as_json: AsJson = False) -> None:
    """Index everything, merge segments, drop deleted rows, free their room on the disk. Needs to be the only writer."""
    with vecdb.open(directory, create=False) as db:
        names = db.list_collections() if collection is None else [collection]
        for name in names:
            db.collection(name).optimize()
        described = [describe_collection(db.collection(name)) for name in names]
    if as_json:
        print_json({"collections": described})
    else:
        print_tables(*(collection_table(entry) for entry in described))
