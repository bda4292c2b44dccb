"""Declares the parameters that several commands share, so that they read the same everywhere."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import typer

from vecdb.errors import InvalidFilterError

CollectionName: TypeAlias = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="Name of a collection.", show_default=False)
]
AnyCollectionName: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="COLLECTION", help="Name of a collection; all when left out.", show_default=False),
]
FieldName: TypeAlias = Annotated[
    str | None,
    typer.Option("--field", help="Vector field; needed when the collection has several.", show_default=False),
]
Ef: TypeAlias = Annotated[
    int | None,
    typer.Option("--ef", help="Candidates to keep while searching; more is slower and better.", show_default=False),
]
TargetRecall: TypeAlias = Annotated[
    float | None,
    typer.Option("--target-recall", help="Choose ef to reach this recall, for example 0.98.", show_default=False),
]
FilterText: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""Only records that match, for example '{"year": {"$gte": 2020}}'.""",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document, errors included.")]


def read_filter_text(text: str | None) -> dict[str, Any] | None:
    """The dict that a filter on the command line spells."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        example = '{"year": {"$gte": 2020}}'
        raise InvalidFilterError(f"--filter is no JSON: {error}; write for example {example}") from error
    if not isinstance(found, dict):
        raise InvalidFilterError(f"--filter is a JSON {type(found).__name__}; write an object of path to condition")
    return found


class IdType(StrEnum):
    """How an id given on the command line is read; `auto` takes whichever of the three is stored."""

    AUTO = "auto"
    STR = "str"
    INT = "int"
    UUID = "uuid"


IdTypeOption: TypeAlias = Annotated[
    IdType, typer.Option("--id-type", help="How ids on the command line are to be read.")
]
