"""Cuts source code at its definitions; a chunk knows the class and function that it is in.

Python is read by its own parser. Other languages, and Python that does not parse, are cut at lines that look like the
beginning of a definition, which is a guess: a chunk may then begin early or late, and never loses text.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vecdb.ingest.chunkers.chunk import ChunkSize, HeadingPath, Span, TokenOffsets
from vecdb.ingest.chunkers.config import HEADING_CHARS_MAX, HEADING_LEVELS_MAX, PYTHON_SOURCE_CHARS_MAX
from vecdb.ingest.chunkers.filling import Places, fill, separators
from vecdb.ingest.chunkers.units import Units

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

BLANK_LINE: Final = re.compile(r"\n[^\S\n]*+\n(?:[^\S\n]*+\n)*+")
LINE: Final = re.compile(r"\n")
PARSED_LINE: Final = re.compile(r"\r\n?|\n")
FILL: Final = 0.5

WORDS: Final = (
    r"(?:export|default|public|private|protected|internal|static|final|abstract|async|unsafe|extern|inline|virtual|"
    r"override|open|sealed|data|pub(?:\([a-z]+\))?|const|declare|local|partial|suspend|create(?:\s+or\s+replace)?)\s+"
)
DEFINITION: Final = re.compile(
    rf"(?:{WORDS}){{0,6}}(?:def|class|fn|func|fun|function|sub|interface|trait|impl|struct|enum|union|module|namespace|"
    r"protocol|extension|object|record|message|service|table|view|procedure|trigger|macro_rules!|defmodule|type|"
    r"package)\b\*?\s*(?:\([^)\n]{0,80}\)\s*)?([A-Za-z_$][\w$.:<>]{0,80})?",
    re.IGNORECASE,
)
C_FUNCTION: Final = re.compile(r"[A-Za-z_][\w:<>,*&~ \t]{0,120}?[ \t*&]([A-Za-z_~][\w:~]{0,80})[ \t]*\([^;\n]*$")
NO_FUNCTION: Final = re.compile(r"(?:if|for|while|switch|return|else|case|typedef|using|#)\b")
BEFORE_DEFINITION: Final = re.compile(r"[^\S\n]*(?://|/\*|\*|#(?!include|define|if|endif|else|undef|pragma)|@|--|\[)")
"""Lines that belong to the definition below them: comments, annotations, attributes."""
LINE_CHARS: Final = 240
C_LIKE: Final = frozenset({"c", "cpp", "java", "csharp", "objectivec", "dart", "kotlin", "scala"})


@dataclass(frozen=True, slots=True)
class CodeChunker:
    """One chunk a definition; a class that does not fit is cut at its methods, a function at blank lines."""

    size: ChunkSize = field(default_factory=ChunkSize)
    tokenizer: TokenOffsets | None = None

    @property
    def name(self) -> str:
        return f"code:{self.size.tokens}:{self.size.overlap}"

    def spans(self, text: str, language: str | None = None) -> list[Span]:
        units = Units(text, self.tokenizer)
        places = Places(text, separators(text, (BLANK_LINE, LINE)), (FILL, 0.0))
        return [
            span
            for section in code_sections(text, language, units, self.size.tokens)
            for span in fill(units, places, self.size, section.start, section.end, section.heading_path)
        ]


def code_sections(text: str, language: str | None, units: Units, tokens: int) -> list[Span]:
    """The definitions of a source, and what is between them; together they are all of it."""
    found = python_sections(text, units, tokens) if language in {"python", None} else None
    return guessed_sections(text, language) if found is None else found


def python_sections(text: str, units: Units, tokens: int) -> list[Span] | None:
    """By the syntax tree; None where there is none."""
    if len(text) > PYTHON_SOURCE_CHARS_MAX:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a source's own compiler would say of it
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    starts = _line_starts(text)
    return list(_python(tree.body, 0, len(text), (), _Python(text, units, tokens, starts)))


@dataclass(frozen=True, slots=True)
class _Python:
    text: str
    units: Units
    tokens: int
    lines: list[int]


def _python(body: list[ast.stmt], start: int, end: int, path: HeadingPath, source: _Python) -> Iterator[Span]:
    """The stretch [start, end) of a module or class, cut at the definitions in it."""
    place = start
    for node in body:
        if not isinstance(node, Definition):
            continue
        first = max(place, _with_comments(source, _first_line(node), place))
        last = _line_end(source, node)
        if last <= first:
            continue  # two on one line
        if place < first:
            yield Span(place, first, path)
        inner = (*path, node.name[:HEADING_CHARS_MAX])
        large = source.units.first_after(last) - source.units.first_after(first) > source.tokens
        if large and isinstance(node, ast.ClassDef) and len(inner) < HEADING_LEVELS_MAX:
            yield from _python(node.body, first, last, inner, source)
        else:
            yield Span(first, last, inner)
        place = last
    if place < end:
        yield Span(place, end, path)


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _line_end(source: _Python, node: Definition) -> int:
    line = node.end_lineno or node.lineno
    return source.lines[line] if line < len(source.lines) else len(source.text)


def _with_comments(source: _Python, line: int, least: int) -> int:
    """Where the comments directly above a line begin."""
    while line > 1 and source.lines[line - 2] >= least:
        above = source.text[source.lines[line - 2] : source.lines[line - 1]]
        if not above.lstrip().startswith("#"):
            break
        line -= 1
    return source.lines[line - 1]


def _line_starts(text: str) -> list[int]:
    """Where the lines that Python's parser counts begin."""
    return [0, *(found.end() for found in PARSED_LINE.finditer(text))]


def guessed_sections(text: str, language: str | None) -> list[Span]:
    """By lines without indentation that look like the beginning of a definition, with the comments above them."""
    found: list[Span] = []
    start, path = 0, ()
    for begin, name in _guesses(text, language):
        if start < begin:
            found.append(Span(start, begin, path))
        start, path = begin, (name,) if name else ()  # type: ignore[assignment]
    if start < len(text):
        found.append(Span(start, len(text), path))
    return found


def _guesses(text: str, language: str | None) -> Iterator[tuple[int, str]]:
    place, attached = 0, None
    for line in text.split("\n"):
        head = line[:LINE_CHARS]
        name = None if head[:1].isspace() else _defined_name(head, language)
        if name is not None:
            yield (place if attached is None else attached), name
        belongs = name is None and BEFORE_DEFINITION.match(head) is not None
        attached = (place if attached is None else attached) if belongs else None
        place += len(line) + 1


def _defined_name(line: str, language: str | None) -> str | None:
    """The name that a line begins to define, "" when it has none, None when it defines nothing."""
    found = DEFINITION.match(line)
    if found is None and language in C_LIKE and not NO_FUNCTION.match(line):
        found = C_FUNCTION.match(line)
    return None if found is None else (found[1] or "")[:HEADING_CHARS_MAX]
