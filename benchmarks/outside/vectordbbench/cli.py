"""The command `vectordbbench vecdb`."""

from __future__ import annotations

from typing import Annotated, Any

import click
from vectordb_bench.backend.clients import DB  # type: ignore[import-not-found]
from vectordb_bench.cli.cli import (  # type: ignore[import-not-found]
    CommonTypedDict,
    cli,
    click_parameter_decorators_from_typed_dict,
    run,
)

from .config import VecDBCaseConfig, VecDBConfig


class VecDBTypedDict(CommonTypedDict):  # type: ignore[misc]  # without VectorDBBench the class is Any
    """Options beside those that every command has."""

    path: Annotated[str, click.option("--path", type=str, required=True, help="directory of the database")]
    m: Annotated[int, click.option("--m", type=int, default=16, help="links of a new row")]
    ef_construction: Annotated[int, click.option("--ef-construction", type=int, default=200)]
    ef: Annotated[int | None, click.option("--ef", type=int, help="effort of a search")]
    target_recall: Annotated[float | None, click.option("--target-recall", type=float, help="used without --ef")]


@cli.command()  # type: ignore[untyped-decorator]  # as above
@click_parameter_decorators_from_typed_dict(VecDBTypedDict)  # type: ignore[untyped-decorator]
def VecDB(**parameters: Any) -> None:  # noqa: N802 - their commands are named as the member of DB
    """Run the benchmark on vecdb."""
    run(
        db=DB.VecDB,
        db_config=VecDBConfig(db_label=parameters["db_label"], path=parameters["path"]),
        db_case_config=VecDBCaseConfig(
            m=parameters["m"],
            ef_construction=parameters["ef_construction"],
            ef=parameters["ef"],
            target_recall=parameters["target_recall"],
        ),
        **parameters,
    )
