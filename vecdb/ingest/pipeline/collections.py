"""Makes the collection of a destination, or checks that it is one of the model at hand; the same for all fronts.

Promises: vectors of two models never meet in a field: a field that holds vectors without saying of which model is
refused too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import DimensionMismatchError, FieldNotFoundError, ModelMismatchError, PermissionDeniedError
from vecdb.fingerprint import ModelFingerprint, require_same_model
from vecdb.ingest.pipeline.destination import Prepared
from vecdb.types import Field, Metric, VectorDtype

if TYPE_CHECKING:
    from vecdb.client.database import RemoteCollection, RemoteDatabase
    from vecdb.engine.collection import Collection
    from vecdb.engine.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A field of a collection ("" for the only one), and how it is declared where it has to be made."""

    collection: str
    field: str = ""
    metric: Metric = "cosine"
    dtype: VectorDtype = "float32"

    def declared(self, model: ModelFingerprint) -> Field:
        """The field for vectors of a model."""
        return Field(dim=model.dim, metric=self.metric, dtype=self.dtype, model=model)

    def named(self, vectors: NDArray[np.float32] | None) -> Any:
        """Vectors as `upsert` takes them for this field."""
        return {self.field: vectors} if self.field else vectors


def model_of(database: Database | RemoteDatabase, place: Place) -> ModelFingerprint | None:
    """The model that the field stores; None where there is no such field, or it stores none."""
    if place.collection not in database:
        return None
    collection = database.collection(place.collection)
    try:
        return collection.model(place.field or None)
    except FieldNotFoundError:
        return None


def prepared(database: Database | RemoteDatabase, place: Place, model: ModelFingerprint) -> Prepared:
    """The collection, made or checked."""
    created = place.collection not in database
    if created:
        try:
            _make(database, place, model)
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"there is no collection {place.collection!r} yet, and to make it takes a key of scope admin; "
                "with one of scope write it can be ingested into once it is there",
                collection=place.collection,
            ) from error
    collection = database.collection(place.collection)
    if place.field and place.field not in collection.fields:
        collection.add_field(place.field, place.declared(model), exist_ok=True)
    _require_model(collection, place, model)
    return Prepared(created=created, records=len(collection), seq=database.seq)


def _make(database: Database | RemoteDatabase, place: Place, model: ModelFingerprint) -> None:
    if place.field:
        database.create_collection(place.collection, fields={place.field: place.declared(model)}, exist_ok=True)
    else:
        database.create_collection(
            place.collection, model.dim, metric=place.metric, dtype=place.dtype, model=model, exist_ok=True
        )


def _require_model(collection: Collection | RemoteCollection, place: Place, model: ModelFingerprint) -> None:
    stored = collection.model(place.field or None)
    if stored is not None:
        require_same_model(stored, model, collection=place.collection)
        return
    records = len(collection)
    dim = collection.fields[place.field or next(iter(collection.fields))].dim
    if dim != model.dim:
        raise DimensionMismatchError(
            f"collection {place.collection!r} takes vectors of {dim} components, and {model} gives {model.dim}: choose "
            f"a model of {dim} (--model), or ingest into another collection"
            + ("" if records else "; this one is empty and can be dropped"),
            collection=place.collection,
            dim=dim,
            given=model.dim,
        )
    if records:
        raise ModelMismatchError(
            f"collection {place.collection!r} holds {records:,} records and does not say which model their vectors are "
            f"of. If it is {model}, say so once: db.collection({place.collection!r}).set_model(embedder.fingerprint); "
            "else ingest into another collection",
            collection=place.collection,
            given=model.to_dict(),
        )
    collection.set_model(model, place.field or None)
