"""Changes valid requests: fields of messages, fields on the wire, bytes, and the order of messages in a stream.

Each mutation is a function of a Random, so that a case is three numbers and can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from tests.property.test_wire_malformed import WIDE, fill

Site: TypeAlias = tuple[Any, Any]
"""A message within a request, and one of its fields, set or not."""

TEXTS = ("", "docs", "both", "made", "a" * 63, "a" * 64, "..", "a\0b", "n", "tags[]", "é" * 300, "x" * 5_000, "1" * 41)
LENGTHS = (0, 1, 2, 127, 128, 1 << 14, 1 << 31, (1 << 64) - 1)
FRESH_LEVELS = 3
BYTES_MOST = 1 << 20
"""Requests that mutations make longer than this are cut there: the message limits have tests of their own."""


# --- fields of a message ----------------------------------------------------------------------------------------------


def sites(message: Any) -> Iterator[Site]:
    """Every field of a message and of those within it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is None:
            continue
        value = getattr(message, field.name)
        if field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"].message_type
            parts = list(value.values()) if inner is not None else []
        elif field.is_repeated:
            parts = list(value)
        else:
            parts = [value] if message.HasField(field.name) else []
        for part in parts:
            yield from sites(part)


def _extreme(field: Any, random: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING and random.random() < 0.7:
        return random.choice(TEXTS)
    return random.choice(WIDE[field.type])


def _stretched(raw: bytes, random: Random) -> bytes:
    """Bytes as long as those there, or a little longer: all the same id, NaN, zero vectors, one row too many."""
    size = len(raw) + random.choice((0, 0, 0, 1, 8, 16))
    return (random.choice((b"\xff", b"\0", raw[:8] or b"\0", raw)) * size)[:size]


def change_field(message: Any, random: Random) -> None:
    """Drop, repeat, fill or set to an extreme value one field somewhere in the message."""
    found = list(sites(message))
    if not found:
        return
    owner, field = random.choice(found)
    action = random.randrange(3)
    if action == 0:
        owner.ClearField(field.name)
        return
    value = getattr(owner, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        fill(value[random.choice(TEXTS)], random, FRESH_LEVELS)
    elif field.message_type is not None:
        part = value.add() if field.is_repeated else value
        part.SetInParent()
        if action == 1:
            _copy_of_another(part, message, random)
        else:
            fill(part, random, FRESH_LEVELS)
    elif not field.is_repeated:
        stretches = field.type == FieldDescriptor.TYPE_BYTES and action == 1
        setattr(owner, field.name, _stretched(value, random) if stretches else _extreme(field, random))
    elif action == 1:
        value.extend(list(value) * random.choice((1, 1, 50)))
    else:
        value.insert(random.randrange(len(value) + 1), _extreme(field, random))


def _copy_of_another(part: Any, message: Any, random: Random) -> None:
    """Repeat in `part` a message of its type from elsewhere in the request: also what makes trees deeper."""
    same = [owner for owner, _ in sites(message) if owner.DESCRIPTOR is part.DESCRIPTOR]
    if same:
        copied = type(part)()
        copied.CopyFrom(random.choice(same))
        part.MergeFrom(copied)


# --- fields on the wire -----------------------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[place] & 0x7F) << shift
        shift += 7
        place += 1
        if raw[place - 1] < 0x80:
            return value, place


Part: TypeAlias = tuple[int, int, bytes]
"""A field on the wire: its number, its wire type and its contents."""

FIXED = {1: 8, 5: 4}
RETYPED = ((0, varint(1)), (1, bytes(8)), (2, b""), (2, b"\xff\xfe"), (5, bytes(4)))
"""Wire types, each with contents that it may have."""


def parts_of(raw: bytes) -> list[Part]:
    """The fields of a sound message. IndexError or KeyError when it is none."""
    parts, place = [], 0
    while place < len(raw):
        tag, place = _read_varint(raw, place)
        start = place
        if tag & 7 == 0:
            _, place = _read_varint(raw, place)
        elif tag & 7 == 2:
            size, start = _read_varint(raw, place)
            place = start + size
        else:
            place += FIXED[tag & 7]
        if place > len(raw):
            raise IndexError
        parts.append((tag >> 3, tag & 7, raw[start:place]))
    return parts


def joined(parts: list[Part]) -> bytes:
    """The message of some fields."""
    out = []
    for number, kind, contents in parts:
        length = varint(len(contents)) if kind == 2 else b""
        out.append(varint(number << 3 | kind) + length + contents)
    return b"".join(out)


def change_wire(raw: bytes, random: Random, left: int = 6) -> bytes:
    """Drop, repeat, move, renumber or retype one field, at any depth; lengths are right again afterwards."""
    try:
        parts = parts_of(raw)
    except (IndexError, KeyError):
        return change_bytes(raw, random)
    if not parts:
        return joined([(random.randrange(1, 20), 2, random.randbytes(3))])
    place = random.randrange(len(parts))
    number, kind, contents = parts[place]
    if kind == 2 and contents and left and random.random() < 0.8:
        parts[place] = (number, kind, change_wire(contents, random, left - 1))
        return joined(parts)
    action = random.randrange(6)
    if action == 0:
        del parts[place]
    elif action == 1:
        parts += [parts[place]] * random.choice((1, 2, 300))
    elif action == 2:
        random.shuffle(parts)
    elif action == 3:
        parts[place] = (random.choice((1, 2, 3, 4, 5, 9, 99, (1 << 29) - 1)), kind, contents)
    elif action == 4:
        parts[place] = (number, *random.choice(RETYPED))
    else:
        parts[place] = (number, 0, varint(random.choice((0, 1, 1 << 31, 1 << 63, (1 << 64) - 1))))
    return joined(parts)


# --- bytes ------------------------------------------------------------------------------------------------------------


def change_bytes(raw: bytes, random: Random) -> bytes:
    """Flip bits, cut, insert, repeat, overwrite by a varint, or put two requests together."""
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(raw) + 1)
        action = random.randrange(6)
        if action == 0 and place < len(raw):
            raw = raw[:place] + bytes([raw[place] ^ 1 << random.randrange(8)]) + raw[place + 1 :]
        elif action == 1:
            raw = raw[:place]
        elif action == 2:
            raw = raw[:place] + random.randbytes(random.randrange(1, 9)) + raw[place:]
        elif action == 3:
            raw = raw[:place] + raw[random.randrange(place + 1) :]
        elif action == 4:
            raw = raw[:place] + varint(random.choice(LENGTHS)) + raw[place + 1 :]
        else:
            raw += raw
    return raw[:BYTES_MOST]


# --- conversations ----------------------------------------------------------------------------------------------------


def _serialized(messages: list[Any]) -> list[bytes]:
    return [message.SerializeToString() for message in messages]


def _with_fields(messages: list[Any], random: Random) -> list[bytes]:
    copies = []
    for message in messages:
        copy = type(message)()
        copy.CopyFrom(message)
        copies.append(copy)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        change_field(random.choice(copies), random)
    return _serialized(copies)


def _one_changed(change: Callable[[bytes, Random], bytes]) -> Callable[[list[Any], Random], list[bytes]]:
    def mutate(messages: list[Any], random: Random) -> list[bytes]:
        bodies = _serialized(messages)
        place = random.randrange(len(bodies))
        bodies[place] = change(bodies[place], random)[:BYTES_MOST]
        return bodies

    return mutate


def _reordered(messages: list[Any], random: Random) -> list[bytes]:
    """For streams; a single request stays as it is, or has a neighbour that the server must not read."""
    bodies = _serialized(messages)
    return random.choices(bodies, k=random.randrange(1, 2 * len(bodies) + 1))


def _any_bytes(_messages: list[Any], random: Random) -> list[bytes]:
    return [random.randbytes(random.choice((0, 1, 2, 8, 40, 300)))]


def _anything(messages: list[Any], random: Random) -> list[bytes]:
    """A message of the right type with any fields at all."""
    made = type(messages[0])()
    fill(made, random, 6)
    return [made.SerializeToString()]


Mutation: TypeAlias = Callable[[list[Any], Random], list[bytes]]
MUTATIONS: dict[str, Mutation] = {
    "none": lambda messages, _: _serialized(messages),
    "fields": _with_fields,
    "wire": _one_changed(change_wire),
    "bytes": _one_changed(change_bytes),
    "order": _reordered,
    "anything": _anything,
    "any bytes": _any_bytes,
}
SHARES = ("none", *["fields"] * 8, *["wire"] * 5, *["bytes"] * 3, "order", "anything", "any bytes")
"""How often which is made."""
