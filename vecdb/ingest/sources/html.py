"""Finds the text of a web page: what is in <main> or <article>, else what is not menu, header or footer.

One pass over the tags without a tree: pages are often malformed, and trees of them take time that grows with the
square of their depth. Text of block elements stands on lines of its own.
Promises: time grows with the length of the page, whatever it holds.
Concurrency: pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Final

from vecdb.ingest.sources.config import HTML_TAG_CHARS_MAX

TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]{0,40})")
REST_OF_TAG: Final = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
SPACE: Final = re.compile(r"\s+")
BLANK_LINES: Final = re.compile(r"\n{3,}")

RAW: Final = {name: re.compile(f"</{name}", re.IGNORECASE) for name in ("script", "style", "xmp", "iframe", "noembed")}
TITLE_END: Final = re.compile(r"</title", re.IGNORECASE)
UNSEEN: Final = frozenset(
    {"template", "svg", "noscript", "math", "object", "select", "button", "canvas", "audio", "video"}
)
MARGINS: Final = frozenset({"nav", "aside", "header", "footer", "form"})
MATTER: Final = frozenset({"main", "article"})
PARAGRAPHS: Final = frozenset({
    "address", "article", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "main", "nav", "ol", "p", "pre",
    "section", "table", "ul", "aside",
})  # fmt: skip
LINES: Final = frozenset({"br", "li", "tr", "option", "summary", "caption"})
CELLS: Final = frozenset({"td", "th"})


@dataclass(frozen=True, slots=True)
class Page:
    """The text of a page and its title, which may be empty."""

    title: str
    text: str


@dataclass(slots=True)
class _Found:
    """The text so far: of everything, of what is not in the margins, and of the matter."""

    everything: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    matter: list[str] = field(default_factory=list)
    title: str = ""


def page_content(html: str) -> Page:
    """The title and text of a page."""
    found = _Found()
    depth = dict.fromkeys(("unseen", "margin", "matter"), 0)
    for kind, value in _pieces(html):
        if kind == "title":
            found.title = found.title or _flat(value)
        elif kind == "text":
            if not depth["unseen"]:
                _add(found, depth, SPACE.sub(" ", unescape(value)))
        else:
            _count(depth, value, 1 if kind == "open" else -1)
            if not depth["unseen"]:
                _add(found, depth, _break_of(value))
    texts = (_laid_out(pieces) for pieces in (found.matter, found.body, found.everything))
    return Page(found.title, next(filter(None, texts), ""))


def _count(depth: dict[str, int], name: str, step: int) -> None:
    """Count the elements that are open; ends without a beginning do not count."""
    if name in UNSEEN:
        depth["unseen"] = max(0, depth["unseen"] + step)
    elif name in MATTER:
        depth["matter"] = max(0, depth["matter"] + step)
    elif name in MARGINS:
        depth["margin"] = max(0, depth["margin"] + step)


def _add(found: _Found, depth: dict[str, int], text: str) -> None:
    if not text:
        return
    found.everything.append(text)
    if not depth["margin"] or depth["matter"]:
        found.body.append(text)
    if depth["matter"]:
        found.matter.append(text)


def _break_of(name: str) -> str:
    if name in PARAGRAPHS:
        return "\n\n"
    return "\n" if name in LINES else "\t" if name in CELLS else ""


def _pieces(html: str) -> Iterator[tuple[str, str]]:
    """Cut a page into ("text", …), ("open", tag), ("close", tag) and ("title", …), without comments and scripts."""
    place, titles_end = 0, True
    while place < len(html):
        start = html.find("<", place)
        if start < 0:
            yield "text", html[place:]
            return
        if start > place:
            yield "text", html[place:start]
        tag = TAG.match(html, start)
        if tag is None:
            place, text = _not_a_tag(html, start)
            if text:
                yield "text", text
            continue
        name = tag[2].lower()
        place = _end_of_tag(html, tag.end())
        if tag[1]:
            yield "close", name
        elif name in RAW:
            place = _found_or_end(RAW[name], html, place)
        elif name == "title" and titles_end:
            end = TITLE_END.search(html, place)
            titles_end = end is not None  # else it is not looked for again at each of them
            if end:
                yield "title", html[place : end.start()]
                place = end.start()
        elif html[place - 2 : place] != "/>" or name not in UNSEEN:
            yield "open", name


def _not_a_tag(html: str, start: int) -> tuple[int, str]:
    """Where to go on after a "<" that begins no tag, and the text that it is."""
    if html.startswith("<!--", start):
        end = html.find("-->", start + 4)
        return (len(html) if end < 0 else end + 3), ""
    if html[start + 1 : start + 2] in {"!", "?", "/"}:
        end = html.find(">", start)
        return (len(html) if end < 0 else end + 1), ""
    return start + 1, "<"


def _end_of_tag(html: str, place: int) -> int:
    """Behind the ">" of a tag, which may be in quotes before; a quote without end does not count as one."""
    rest = REST_OF_TAG.match(html, place, place + HTML_TAG_CHARS_MAX)
    if rest:
        return rest.end()
    end = html.find(">", place)
    return len(html) if end < 0 else end + 1


def _found_or_end(pattern: re.Pattern[str], html: str, place: int) -> int:
    end = pattern.search(html, place)
    return end.start() if end else len(html)


def _flat(text: str) -> str:
    return SPACE.sub(" ", unescape(text)).strip()


def _laid_out(pieces: list[str]) -> str:
    lines = "".join(pieces).split("\n")
    return BLANK_LINES.sub("\n\n", "\n".join(SPACE.sub(" ", line).strip() for line in lines)).strip()
