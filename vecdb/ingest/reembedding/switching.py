"""Lets the name of a field stand for the other model's vectors, takes that back, and ends a re-embedding.

How no record is missing or stale at the moment of the switch: a vector in the field beside is there only as long as it
is true (see `due`), and `switch_field(unless=...)` looks, in the transaction that exchanges the names, whether any
record matches what is due. If one does, nothing is switched, the record is embedded, and the switch is tried again.
Between two writes of others a round of a few records takes milliseconds, so this ends unless writers leave no pause at
all. The same holds for a rollback, for which the old model embeds what was written since.

Promises: a switch is one commit; a crash leaves the field of before or of after it. No vector is dropped but by
`finish` and `cancel`, and neither drops the field that searches use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vecdb.config import FILTER_VALUES_MAX
from vecdb.errors import ConflictError, InvalidRequestError, LimitExceededError
from vecdb.filters import F, Filter
from vecdb.ingest.reembedding.config import SWITCH_ROUNDS_MAX
from vecdb.ingest.reembedding.due import count_due, due
from vecdb.ingest.reembedding.reports import FillReport, SwitchReport
from vecdb.ingest.reembedding.roles import NEXT, PREVIOUS, Roles, roles_of

Fill = Callable[[], FillReport]
"""Brings the field beside level; see `backfill`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One direction of the switch: from which stage, and the name that the field of now gets."""

    stage: str
    suffix: str
    done: str
    hint: str


SWITCH = Turn("filling", PREVIOUS, "switched", "begin with: vecdb reembed {collection} --model NEW")
ROLLBACK = Turn(
    "switched", NEXT, "rolled back", "only a switch can be rolled back; see: vecdb reembed status {collection}"
)


def turned(collection: Any, field: str | None, turn: Turn, fill: Fill | None, *, allow_missing: bool) -> SwitchReport:
    """Exchange the two fields, when the one beside is level or `allow_missing` says that it need not be.

    `fill` None: it is not filled first, which `allow_missing` must allow. ConflictError when writers are faster.
    """
    filled = None
    for attempt in range(1, SWITCH_ROUNDS_MAX + 1):
        roles = _required(collection, field, turn)
        if fill is not None:
            filled = fill()
            _require_level(filled, allow_missing=allow_missing)
            if attempt == 1:
                collection.wait_indexed()  # or searches would compare with every vector until that is done
        missing = count_due(collection, roles) if allow_missing else 0
        kept_as, unless = roles.name + turn.suffix, _obstacle(roles, filled)
        try:
            collection.switch_field(roles.name, roles.shadow_name, keep_as=kept_as, unless=unless)
        except ConflictError:
            continue  # somebody wrote a record in between
        return _report(roles, turn, attempt, missing, filled)
    raise ConflictError(
        f"collection {collection.name!r} was not {turn.done}: in {SWITCH_ROUNDS_MAX} attempts somebody always wrote a "
        "record before it was embedded; stop the writers for a moment and try again",
        collection=collection.name,
    )


def dropped(collection: Any, field: str | None, stage: str) -> Roles:
    """Drop the field beside: at the stage `switched` that of the old model, at `filling` that of the new one."""
    roles = roles_of(collection, field)
    if roles.stage != stage:
        advice = {
            "switched": "the new model is in use, which cancel does not take back: roll back first, or finish",
            "filling": "the new model is not in use yet: switch first, or give up with cancel",
            "idle": "nothing is beside it",
        }[roles.stage]
        raise InvalidRequestError(f"field {roles.name!r} of {collection.name!r}: {advice}", field=roles.name)
    collection.drop_field(roles.shadow_name)
    return roles


def _required(collection: Any, field: str | None, turn: Turn) -> Roles:
    roles = roles_of(collection, field)
    if roles.stage == turn.stage:
        return roles
    raise InvalidRequestError(
        f"field {roles.name!r} of {collection.name!r} cannot be {turn.done}: "
        + turn.hint.format(collection=collection.name),
        collection=collection.name,
        field=roles.name,
    )


def _require_level(filled: FillReport, *, allow_missing: bool) -> None:
    """Errors when a switch is not worth trying. What was written in the last moment is found by the switch itself."""
    if filled.stopped or filled.overtaken:
        ending = "it was asked to stop" if filled.stopped else "somebody writes faster than they are embedded"
        raise ConflictError(
            f"nothing was switched: {filled.left} record(s) have no vector of the other model yet, for {ending}",
            left=filled.left,
        )
    if allow_missing or not filled.given_up:
        return
    problems = "; ".join(f"{record_id}: {problem}" for record_id, problem in filled.examples)
    raise InvalidRequestError(
        f"nothing was switched: {filled.failed} record(s) could not be embedded, {filled.textless} without a text, so "
        f"they would not be found any more ({problems}). Correct them, or insist with --allow-missing",
        failed=filled.failed,
        textless=filled.textless,
    )


def _obstacle(roles: Roles, filled: FillReport | None) -> Filter | None:
    """What must not match any record at the switch: what is due, but for records that were given up on."""
    if filled is None:
        return None
    given_up = list(filled.given_up)
    if len(given_up) > FILTER_VALUES_MAX:
        raise LimitExceededError(
            f"{len(given_up):,} records cannot be embedded, and {FILTER_VALUES_MAX:,} may be left out of a switch; "
            "correct them, or delete them"
        )
    return due(roles) & ~F.id.in_(given_up) if given_up else due(roles)


def _report(roles: Roles, turn: Turn, attempts: int, missing: int, filled: FillReport | None) -> SwitchReport:
    shadow = roles.required_shadow()
    return SwitchReport(
        collection=roles.collection,
        field=roles.name,
        model=None if shadow.model is None else str(shadow.model),
        kept_as=roles.name + turn.suffix,
        kept_model=None if roles.model is None else str(roles.model),
        attempts=attempts,
        missing=missing,
        filled=filled,
    )
