"""Lists the files of folders and globs in a stable order, as git would: without what .gitignore leaves out.

Left out too are dot files and folders, folders of installed packages and of caches, and what no reader reads by its
extension. Links to folders are not followed (they make circles), links to files are.
Promises: one folder's names are in memory at a time, and those of the folders above it.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import scandir
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

from vecdb.errors import InvalidDocumentError, MissingExtraError, VecDBError
from vecdb.ingest.sources.config import FOLDER_DEPTH_MAX, FOLDER_FILES_MAX, IGNORE_FILE_BYTES_MAX
from vecdb.ingest.sources.decoding import decode_text
from vecdb.ingest.sources.file import SourceFile
from vecdb.ingest.sources.formats import FilePart, format_in_folder, format_named
from vecdb.ingest.sources.item import Position, Problem
from vecdb.ingest.sources.options import ReadOptions
from vecdb.ingest.sources.rows import checked_id
from vecdb.ingest.sources.source import Part

IGNORE_FILE: Final = ".gitignore"
ANY_FOLDERS: Final = "**"
NEVER_DOCUMENTS: Final = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "bower_components"})

Rules: TypeAlias = tuple[tuple[str, Any], ...]
"""Folder below the root ("" or "a/b/") and the rules of its ignore file, from the root down."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """One file, which may be standard input (`path` None)."""

    name: str
    path: Path | None
    format: str
    options: ReadOptions

    def parts(self) -> Iterator[Part | Problem]:
        short = "stdin" if self.path is None else self.path.name
        yield from _part_of(self.path, short, self.name, self.format, self.options)


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder and those below it; the ids of its files are their paths in it.

    `pattern`, the pieces of a glob below `root`, chooses files; what it matches is read even if git would ignore it.
    """

    name: str
    root: Path
    options: ReadOptions
    pattern: tuple[str, ...] = ()

    def parts(self) -> Iterator[Part | Problem]:
        budget = [FOLDER_FILES_MAX]
        yield from self._walk(PurePosixPath(), (), budget)

    @property
    def _reads_ignored(self) -> bool:
        return self.options.ignored or bool(self.pattern)

    def _walk(self, below: PurePosixPath, rules: Rules, budget: list[int]) -> Iterator[Part | Problem]:
        """List one folder; `below` is its path in the root."""
        folder = self.root / below
        try:
            entries = self._entries(folder, budget)
            rules = rules if self._reads_ignored else self._with_rules_of(folder, below, rules)
        except MissingExtraError:
            raise
        except (VecDBError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            yield Problem(self.name, Position(str(folder)), f"cannot be listed: {reason}", "source")
            return
        for name, is_folder in entries:
            path = below / name
            if self._is_left_out(path, is_folder, rules):
                continue
            if not is_folder:
                yield from self._file(path)
            elif len(path.parts) <= FOLDER_DEPTH_MAX:
                yield from self._walk(path, rules, budget)
            else:
                place = Position(str(self.root / path))
                yield Problem(self.name, place, f"is deeper than {FOLDER_DEPTH_MAX} folders", "source")

    def _entries(self, folder: Path, budget: list[int]) -> list[tuple[str, bool]]:
        """Names in a folder, sorted, and which are folders; links to folders, pipes and devices are left out."""
        found = []
        with scandir(folder) as entries:
            for entry in entries:
                budget[0] -= 1
                if budget[0] < 0:
                    raise InvalidDocumentError(f"{self.name!r} holds more than {FOLDER_FILES_MAX:,} files; split it")
                if entry.is_dir(follow_symlinks=False):
                    found.append((entry.name, True))
                elif entry.is_file() or (entry.is_symlink() and not _leads_to_folder(entry)):
                    found.append((entry.name, False))
        return sorted(found)

    def _is_left_out(self, path: PurePosixPath, is_folder: bool, rules: Rules) -> bool:
        if path.name.startswith(".") and not self.options.hidden:
            return True
        if is_folder and path.name in NEVER_DOCUMENTS and not self._reads_ignored:
            return True
        if _matches(path, self.options.exclude):
            return True
        if self.pattern and not _fits(path.parts, self.pattern, is_folder=is_folder):
            return True
        text = f"{path}/" if is_folder else str(path)
        return any(verdict for verdict in _last_verdict(rules, text))

    def _file(self, below: PurePosixPath) -> Iterator[Part | Problem]:
        path = self.root / below
        kind = format_in_folder(path)
        if self.options.include:
            if not _matches(below, self.options.include):
                return
            kind = kind or self.options.format
        if self.pattern:
            kind = self.options.format or kind
        if kind is not None:
            yield from _part_of(path, str(below), f"{self.name}:{below}", kind, self.options)

    @staticmethod
    def _with_rules_of(folder: Path, below: PurePosixPath, rules: Rules) -> Rules:
        """`rules` and those of the ignore file in this folder, if it has one."""
        path = folder / IGNORE_FILE
        if not path.is_file():
            return rules
        try:
            from pathspec import GitIgnoreSpec  # noqa: PLC0415 - only where there is such a file
        except ImportError:
            raise MissingExtraError(
                f"{path} needs pathspec to be followed: pip install 'vecdb[ingest]', or say ignored=true to read all"
            ) from None
        file = SourceFile(path, IGNORE_FILE, "", ReadOptions())
        lines = decode_text(file.read(IGNORE_FILE_BYTES_MAX)).splitlines()
        try:
            spec = GitIgnoreSpec.from_lines(lines)
        except ValueError as error:
            raise InvalidDocumentError(f"{IGNORE_FILE} has a pattern that is none: {error}") from None
        return (*rules, ("" if not below.parts else f"{below}/", spec))


def open_file(name: str, path: Path, options: ReadOptions) -> FileSource:
    """A file that was named itself; InvalidSourceError when nothing says how to read it."""
    return FileSource(name, path, options.format or format_named(path), options)


def _part_of(path: Path | None, short: str, key: str, kind: str, options: ReadOptions) -> Iterator[Part | Problem]:
    name = options.prefix + short
    try:
        checked_id(name, "its path, which is its id,")
    except VecDBError as error:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        yield Problem(key.encode("utf-8", "backslashreplace").decode(), Position(shown), error.message, "item")
        return
    yield FilePart(SourceFile(path, name, key, options), kind).part()


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError:
        return False  # a link to nothing: its reader will say so


def _matches(path: PurePosixPath, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern fits the path below the root, or its last name."""
    return any(fnmatch.fnmatchcase(str(path), one) or fnmatch.fnmatchcase(path.name, one) for one in patterns)


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...], *, is_folder: bool) -> bool:
    """Whether a file matches the pieces of a glob, or a folder may hold files that do; `**` is any folders or none."""
    places = _behind_stars({0}, pattern)
    for part in parts:
        stay = {place for place in places if pattern[place : place + 1] == (ANY_FOLDERS,)}
        step = {place + 1 for place in places - stay if fnmatch.fnmatchcase(part, "".join(pattern[place : place + 1]))}
        places = _behind_stars(stay | step, pattern)
    return bool(places - {len(pattern)}) if is_folder else len(pattern) in places


def _behind_stars(places: set[int], pattern: tuple[str, ...]) -> set[int]:
    """`places` and those behind the `**` that they are at, which may stand for no folder."""
    for place in range(len(pattern)):
        if place in places and pattern[place] == ANY_FOLDERS:
            places.add(place + 1)
    return places


def _last_verdict(rules: Rules, text: str) -> Iterator[bool]:
    """True if the deepest ignore file with an opinion leaves `text` out."""
    for folder, spec in reversed(rules):
        verdict = spec.check_file(text.removeprefix(folder)).include
        if verdict is not None:
            yield bool(verdict)
            return
