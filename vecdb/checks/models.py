"""Checks the models that declarations, writes and queries name.

Promises: whoever names another model than the one stored gets a ModelMismatchError; who names none is not checked, and
neither are fields that store none.
Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from vecdb.errors import DimensionMismatchError, InvalidRequestError
from vecdb.fingerprint import ModelFingerprint, require_same_model
from vecdb.types import Field

WHAT: Final = "give a vecdb.ModelFingerprint, as an embedder has it in `fingerprint`"


def check_model(model: object) -> ModelFingerprint:
    """The model, when it is one."""
    if isinstance(model, ModelFingerprint):
        return model
    raise InvalidRequestError(f"model is {type(model).__name__}; {WHAT}")


def single_field(dim: int | None, model: object, **options: Any) -> Field | None:
    """The one unnamed field that a declaration describes, None when it describes none. A model knows its dimension."""
    if dim is None and model is None:
        return None
    known = None if model is None else check_model(model)
    size: Any = dim if dim is not None or known is None else known.dim  # what is no int is refused with the rest
    return Field(dim=size, model=known, **options)


def check_declared_model(field: str, declared: Field) -> None:
    """Check that a field can hold the vectors of the model that it is declared for."""
    if declared.model is not None and check_model(declared.model).dim != declared.dim:
        raise DimensionMismatchError(
            f"field {field!r} has dimension {declared.dim}, but its model makes vectors of {declared.model.dim}: "
            f"{declared.model}; declare dim={declared.model.dim}",
            field=field,
            got=declared.model.dim,
            expected=declared.dim,
        )


def named_models(model: object) -> dict[str | None, ModelFingerprint]:
    """`model=` of a call by the name of the field; None for the one whose vectors are given."""
    if model is None:
        return {}
    if not isinstance(model, Mapping):
        return {None: check_model(model)}
    return {name: check_model(one) for name, one in model.items()}


def model_of(field: str | None, named: Mapping[str | None, ModelFingerprint], given: Collection[str | None]) -> Any:
    """The model that a call names for one of the fields `given`, None where it names none."""
    if None in named and len(given) > 1:
        raise InvalidRequestError(
            "model names one model for vectors of several fields; give a dict of field name to model"
        )
    return named.get(field, named.get(None))


def require_model(collection: str, stored: ModelFingerprint | None, given: object) -> None:
    """ModelMismatchError when vectors or a query of the model `given` (None: not said) do not belong in a field."""
    if given is not None:
        wanted = check_model(given)
        if stored is not None:
            require_same_model(stored, wanted, collection=collection)
