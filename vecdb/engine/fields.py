"""The vector fields of a collection: what they are, of which models, and how they come, go and change places.

Promises: each change is one commit. Searches see the fields of before or of after it, never a mix; readers in other
processes follow as they follow writes.
Concurrency: all methods may be called from any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vecdb.checks.declarations import check_field, check_name
from vecdb.checks.models import check_model
from vecdb.engine.commit import AllOrNothing
from vecdb.engine.config import KEPT_QUERIES_MAX, KEPT_QUERIES_MIN
from vecdb.engine.schema_operations import AddField, DropField, SetModel, SwitchField
from vecdb.engine.validate import check_queries
from vecdb.errors import DimensionMismatchError, InvalidRequestError
from vecdb.filters import require_filter
from vecdb.kernels.native import load_kernels
from vecdb.types import WriteResult

if TYPE_CHECKING:
    from vecdb.engine.database import Database
    from vecdb.engine.schema import CollectionSchema
    from vecdb.filters import FilterLike
    from vecdb.fingerprint import ModelFingerprint
    from vecdb.types import Field, VectorLike


class CollectionFields:
    """The part of `Collection` that is about its fields."""

    def __init__(self, database: Database, schema: CollectionSchema) -> None:
        self._database = database
        self._number = schema.number
        self._name = schema.name

    @property
    def _schema(self) -> CollectionSchema:
        """The collection as it is declared now; fields may have changed since the handle was made."""
        with self._database.reading() as view:
            return view.collection(self._number, self._name).schema

    @property
    def fields(self) -> dict[str, Field]:
        """Vector fields by name; a single unnamed field is called "default"."""
        return {field.name: field.public() for field in self._schema.fields}

    @property
    def main_field(self) -> str | None:
        """The field that is meant where none is named: the only one that the collection was created with.

        None when there are several such fields, one of which must be named.
        """
        main = self._schema.main
        return None if main is None else main.name

    def model(self, field: str | None = None) -> ModelFingerprint | None:
        """The embedding model whose vectors a field holds, None when that was never said."""
        return self._schema.field(field).model

    def calibrate(self, queries: VectorLike | None, *, field: str | None = None) -> WriteResult:
        """Measure what effort `target_recall` takes with queries of yours (n, dim); the result counts those kept.

        For queries that are unlike the stored vectors, e.g. texts asked of images: curves measured with stored vectors
        promise too much for them. At least 50, better 1,000, like those that will be asked; of more, 1,000 are drawn.
        They are kept with the field, which is from now on, and after every `optimize`, measured with them. None forgets
        them. Takes seconds for each 100,000 records.
        """
        schema = self._schema
        found = schema.field(field)
        matrix = None if queries is None else check_queries(found, queries)
        if matrix is not None and len(matrix) < KEPT_QUERIES_MIN:
            raise InvalidRequestError(
                f"{len(matrix)} queries tell recall too roughly; give {KEPT_QUERIES_MIN} at least, better 1000, of the "
                "kind that will be asked",
                collection=self._name,
                queries=len(matrix),
            )
        load_kernels(self._database.config.progress)
        with self._database.indexing() as indexer:
            seq = indexer.calibrate(schema, found.number, matrix)
        return WriteResult(seq=seq, count=0 if matrix is None else min(len(matrix), KEPT_QUERIES_MAX))

    def set_model(self, model: ModelFingerprint, field: str | None = None) -> None:
        """Store the model of a field, which writes and queries that name one are compared with from then on.

        For a field that stores none yet, or that is empty; ModelMismatchError when it holds vectors of another model.
        DimensionMismatchError when the model makes vectors of another dimension.
        """
        wanted, found = check_model(model), self._schema.field(field)
        if wanted.dim != found.dim:
            raise DimensionMismatchError(
                f"field {found.name!r} of collection {self._name!r} has dimension {found.dim}, the model makes "
                f"vectors of {wanted.dim}: {wanted}; add a field for it with add_field, fill it and switch to it",
                field=found.name,
                got=wanted.dim,
                expected=found.dim,
            )
        self._database.submit(SetModel(self._schema, field, wanted))

    def add_field(self, name: str, field: Field, *, exist_ok: bool = False) -> None:
        """Add a field, of which no record has a vector yet; `set_vectors` and other writes store them.

        Whoever names no field goes on meaning the only one that the collection was created with. AlreadyExistsError
        when the name is taken, unless `exist_ok` and it is declared the same.
        """
        check_field(name, field)
        self._database.submit(AddField(self._schema, name, field, exist_ok=bool(exist_ok)))

    def drop_field(self, name: str) -> None:
        """Remove a field and its vectors at once; the space is freed in the background.

        Records stay, also those that have no other vector. The last field cannot be dropped.
        """
        self._database.submit(DropField(self._schema, check_name("field", name)))

    def switch_field(self, name: str, to: str, *, keep_as: str | None = None, unless: FilterLike | None = None) -> None:
        """Let `name` mean what `to` is now, its vectors and its model, in one commit.

        The field that was called `name` is then called `keep_as` (default: `to`, so that they swap names), and
        `switch_field(name, keep_as, keep_as=to)` takes it all back. Names keep their place: who names no field gets
        what the name means now. Records that have no vector in the new field are not found by it: fill it before.
        `unless`: ConflictError, and nothing is switched, when any record matches that filter at that moment, as in
        `unless=~F.has_vector(to)`. What `Field.follows` says stays with the names.
        """
        kept = check_name("field", to if keep_as is None else keep_as)
        obstacle = None if unless is None else require_filter(unless)
        if obstacle is not None:
            load_kernels(self._database.config.progress)
        # in a commit of its own: whether a record matches must not depend on who else writes at the moment
        names = check_name("field", name), check_name("field", to), kept
        self._database.submit(AllOrNothing([SwitchField(self._schema, *names, unless=obstacle)]))
