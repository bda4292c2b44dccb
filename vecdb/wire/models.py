"""Converts the fingerprints of embedding models to messages and back.

Concurrency: pure functions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from vecdb._pb.v1 import model_pb2, vectors_pb2
from vecdb.checks.models import model_of, named_models
from vecdb.errors import InvalidConfigError, InvalidRequestError
from vecdb.fingerprint import ModelFingerprint

PARTS: Final = (
    "provider",
    "name",
    "revision",
    "dim",
    "normalized",
    "full_dim",
    "document_prompt",
    "query_prompt",
    "location",
)


def put_model(message: model_pb2.Model, model: ModelFingerprint) -> None:
    """Fill a message with a model."""
    for part in PARTS:
        value = getattr(model, part)
        if value is not None:
            setattr(message, part, value)


def read_model(message: model_pb2.Model, where: str) -> ModelFingerprint:
    """The model of a message; InvalidConfigError when it is none."""
    parts = {part: getattr(message, part) for part in PARTS if part != "full_dim" or message.HasField("full_dim")}
    try:
        return ModelFingerprint(**parts)
    except InvalidConfigError as error:
        raise InvalidConfigError(f"{where}: {error.message}", where=where) from None


def models_of(fields: Collection[str | None], model: object) -> dict[str | None, ModelFingerprint]:
    """`model=` of a call by the columns of vectors that it has; None is that of the field that no name is given of."""
    named = named_models(model)
    if named and None in fields and None not in named:
        if len(named) > 1:
            raise InvalidRequestError("model is given by field; give the vectors by field, too: {field: vectors}")
        named = {None: next(iter(named.values()))}
    found = {field: model_of(field, named, fields) for field in fields}
    return {field: one for field, one in found.items() if one is not None}


def read_models(fields: Sequence[vectors_pb2.FieldVectors], where: str) -> Mapping[str | None, ModelFingerprint] | None:
    """The models that columns of vectors name, by field; None when none does."""
    named = {
        column.field if column.HasField("field") else None: read_model(column.model, f"{where}[{number}].model")
        for number, column in enumerate(fields)
        if column.HasField("model")
    }
    return named or None
