"""Says which two fields a re-embedding is about, and how far it is: all of it read from the collection itself.

    stage     the name, say "default", stands for     beside it
    idle      the vectors of its model                nothing
    filling   the vectors of the old model            default-next: those of the new one, as far as there are any
    switched  the vectors of the new model            default-previous: those of the old one, kept for a rollback

What makes a field one that is beside another is its name and that it follows a text: a field of the user that happens
to be called so is never filled, switched to or dropped.
Promises: whoever asks, from whatever machine, sees the same stage; no file beside the database is needed for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from vecdb.errors import FieldNotFoundError, InvalidRequestError
from vecdb.fingerprint import ModelFingerprint
from vecdb.types import Field

NEXT: Final = "-next"
PREVIOUS: Final = "-previous"

Stage = Literal["idle", "filling", "switched"]


@dataclass(frozen=True, slots=True)
class Roles:
    """The field that searches use (`name`) and the one beside it; `shadow` is None when the stage is idle."""

    collection: str
    name: str
    stage: Stage
    current: Field
    shadow: Field | None

    @property
    def shadow_name(self) -> str:
        """What the field beside is called; for idle what it will be."""
        return self.name + (PREVIOUS if self.stage == "switched" else NEXT)

    @property
    def model(self) -> ModelFingerprint | None:
        """Model of the vectors that searches use; None where none is stored."""
        return self.current.model

    @property
    def shadow_model(self) -> ModelFingerprint | None:
        """Model of the field beside."""
        return None if self.shadow is None else self.shadow.model

    def required_shadow(self) -> Field:
        """The field beside; InvalidRequestError when there is none."""
        if self.shadow is not None:
            return self.shadow
        raise InvalidRequestError(
            f"field {self.name!r} of {self.collection!r} is not being re-embedded; begin with: vecdb reembed "
            f"{self.collection} --model NEW",
            collection=self.collection,
            field=self.name,
        )


def roles_of(collection: Any, field: str | None) -> Roles:
    """The roles of a collection's fields now. `field` may be left out where the collection has a main field."""
    fields: dict[str, Field] = collection.fields
    name = _chosen(collection.name, fields, collection.main_field if field is None else field)
    if _is_shadow(name + NEXT, fields):
        return Roles(collection.name, name, "filling", fields[name], fields[name + NEXT])
    if _is_shadow(name + PREVIOUS, fields):
        return Roles(collection.name, name, "switched", fields[name], fields[name + PREVIOUS])
    return Roles(collection.name, name, "idle", fields[name], None)


def _chosen(collection: str, fields: dict[str, Field], field: str | None) -> str:
    own = [name for name in fields if not _is_shadow(name, fields)]
    if field is None:
        raise InvalidRequestError(
            f"collection {collection!r} has the fields {', '.join(own)}; say which with --field", collection=collection
        )
    if field in own:
        return field
    raise FieldNotFoundError(
        f"collection {collection!r} has no field {field!r} to re-embed; it has {', '.join(own)}",
        collection=collection,
        field=field,
    )


def _is_shadow(name: str, fields: dict[str, Field]) -> bool:
    return (
        name in fields
        and bool(fields[name].follows)
        and any(name.endswith(suffix) and name.removesuffix(suffix) in fields for suffix in (NEXT, PREVIOUS))
    )
