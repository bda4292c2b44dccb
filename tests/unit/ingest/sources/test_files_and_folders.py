"""Folders, globs and files of documents: what is found, skipped, reported, and known to vanish."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ingest.sources.reading import put, read
from vecdb.errors import MissingExtraError, VecDBError
from vecdb.ingest.sources import folder
from vecdb.ingest.sources.decoding import decode_text
from vecdb.ingest.sources.html import page_content
from vecdb.ingest.sources.seen import SeenIds
from vecdb.ingest.sources.source import Part, read_part
from vecdb.ingest.sources.spec import open_source

# --- what a folder holds ---------------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    put(root / "b.md", "# Title\ntext\n")
    put(root / "a.txt", "plain\r\ntext")
    put(root / "src" / "x.py", "def f():\n    pass\n")
    put(root / "src" / "empty.py", "")
    put(root / "rows.jsonl", '{"id": "r1", "text": "row"}\n')
    put(root / "data.bin", b"\x00\x01")
    put(root / ".hidden" / "c.txt", "hidden")
    put(root / "node_modules" / "d.txt", "installed")
    return root


def test_a_folder_gives_its_documents_by_path_in_order(site: Path) -> None:
    found = read(site)
    assert [(item.id, item.kind) for item in found.items] == [
        ("a.txt", "text"),
        ("b.md", "markdown"),
        ("r1", "row"),
        ("src/x.py", "code"),
    ]
    assert not found.problems


def test_line_ends_become_newlines(site: Path) -> None:
    assert read(site).items[0].text == "plain\ntext"


def test_hidden_and_installed_files_are_read_when_asked_for(site: Path) -> None:
    assert {".hidden/c.txt", "node_modules/d.txt"} <= set(read(f"{site}?hidden=true&ignored=true").ids)


def test_patterns_choose_files(site: Path) -> None:
    assert read(f"{site}?include=*.md,src/*&exclude=x.*").ids == ["b.md"]


def test_a_prefix_tells_the_files_of_two_folders_apart(site: Path, tmp_path: Path) -> None:
    put(tmp_path / "other" / "a.txt", "other")
    assert read(f"{site}?include=a.txt", f"{tmp_path}/other?prefix=other/").ids == ["a.txt", "other/a.txt"]


def test_the_same_path_in_two_folders_is_a_problem_without_a_prefix(site: Path, tmp_path: Path) -> None:
    put(tmp_path / "other" / "a.txt", "other")
    assert [problem.reason for problem in read(site, tmp_path / "other").problems] == ["DUPLICATE_ID"]


def test_a_file_that_two_sources_list_is_read_once(site: Path) -> None:
    found = read(f"{site}?include=*.md", f"{site}?include=b.*")
    assert (found.ids, len(found.ends)) == (["b.md"], 1)
    assert "read before" in found.problems[0].message


def test_ignore_files_are_followed_at_every_level(tmp_path: Path) -> None:
    for name in ("a.log", "keep.log", "build/x.txt", "sub/b.log", "sub/c.txt", "sub/deep/c.txt"):
        put(tmp_path / name, "text")
    put(tmp_path / ".gitignore", "*.log\n!keep.log\n/build/\n")
    put(tmp_path / "sub" / ".gitignore", "!b.log\n/c.txt\n")
    assert read(tmp_path).ids == ["keep.log", "sub/b.log", "sub/deep/c.txt"]


def test_ignore_files_need_a_library_that_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / ".gitignore", "x\n")
    monkeypatch.setitem(sys.modules, "pathspec", None)
    with pytest.raises(MissingExtraError, match=r"vecdb\[ingest\]"):
        read(tmp_path)


def test_links_to_folders_are_not_followed(site: Path) -> None:
    (site / "loop").symlink_to(site)
    (site / "link.txt").symlink_to(site / "a.txt")
    assert read(site).ids == ["a.txt", "b.md", "link.txt", "r1", "src/x.py"]


def test_a_link_to_nothing_is_a_problem(site: Path) -> None:
    (site / "gone.txt").symlink_to(site / "nowhere")
    assert [problem.position.file for problem in read(site).problems] == [str(site / "gone.txt")]


def test_a_pipe_in_a_folder_is_left_out(site: Path) -> None:
    os.mkfifo(site / "pipe.txt")
    assert "pipe.txt" not in read(site).ids


def test_a_pipe_that_is_named_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    assert "regular" in read(tmp_path / "pipe.txt").problems[0].message


def test_a_name_that_is_no_unicode_is_a_problem(site: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(site) + b"/caf\xe9.txt")), "text")
    found = read(site)
    assert "valid Unicode" in str(found.problems[0]).encode().decode()
    assert len(found.items) == 4


def test_folders_too_deep_are_a_problem_that_hides_parts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "FOLDER_DEPTH_MAX", 0)
    found = read(site)
    assert [problem.scope for problem in found.problems] == ["source"]
    assert [source.complete for source in found.sources] == [False]


def test_a_folder_that_cannot_be_listed_hides_parts(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scan(path: Path) -> object:
        if path.name == "src":
            raise PermissionError(13, "Permission denied")
        return os.scandir(path)

    monkeypatch.setattr(folder, "scandir", scan)
    for spec in (site, f"{site}/**/*.*"):
        found = read(spec)
        assert [str(problem) for problem in found.problems] == [f"{site}/src: cannot be listed: Permission denied"]
        assert not found.sources[0].complete


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "b/a.txt", False),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "b/c/a.txt", True),
        ("b/**/a.txt", "b/a.txt", True),
        ("b/**", "b/c/a.txt", True),
        ("b/*/a.txt", "b/a.txt", False),
        ("**/c/**/a.*", "b/c/d/e/a.x", True),
        ("**/c/**/a.*", "b/d/e/a.x", False),
    ],
)
def test_patterns_match_piece_by_piece(pattern: str, path: str, fits: bool) -> None:
    pieces, parts = tuple(pattern.split("/")), tuple(path.split("/"))
    assert folder._fits(parts, pieces, is_folder=False) == fits
    assert not fits or all(folder._fits(parts[:depth], pieces, is_folder=True) for depth in range(1, len(parts)))


def test_a_glob_gives_what_matches(site: Path) -> None:
    assert read(f"{site}/**/[ax].[tp]*").ids == ["a.txt", "src/x.py"]


# --- what is unchanged and what vanished -----------------------------------------------------------------------------


def test_unchanged_files_are_not_read(site: Path) -> None:
    known = read(site).known
    found = read(site, known=known.get)
    assert ({end.state for end in found.ends}, found.items) == ({"unchanged"}, [])


def test_a_changed_file_alone_is_read(site: Path) -> None:
    known = read(site).known
    put(site / "a.txt", "another text")
    assert read(site, known=known.get).ids == ["a.txt"]


def test_other_options_read_everything_again(site: Path) -> None:
    known = read(site).known
    assert len(read(f"{site}?types=infer", known=lambda part: known[part]).items) == 4


def test_a_file_that_was_only_touched_is_not_read_and_remembered_with_its_new_time(site: Path) -> None:
    known = read(site).known
    os.utime(site / "a.txt", (1_600_000_009, 1_600_000_009))
    found = read(site, known=known.get)
    assert ({end.state for end in found.ends}, found.items) == ({"unchanged"}, [])
    assert [part for part, fingerprint in found.known.items() if fingerprint != known[part]] == [f"{site}:a.txt"]
    assert not read(site, known=found.known.get).items


def test_a_file_that_was_just_written_is_known_by_its_content_alone(site: Path) -> None:
    (site / "a.txt").write_text("new")
    known = read(site).known
    assert not read(site, known=known.get).items
    time = (site / "a.txt").stat().st_mtime_ns
    (site / "a.txt").write_text("NEW")
    os.utime(site / "a.txt", ns=(time, time))
    assert read(site, known=known.get).ids == ["a.txt"]


def test_a_touched_file_of_another_size_is_not_hashed_to_see_whether_it_changed(site: Path) -> None:
    part = next(open_source(str(site / "a.txt")).parts())
    assert isinstance(part, Part)
    digest = part.digest(None)
    assert digest is not None
    assert part.digest(digest) == digest
    assert part.digest(f"1{digest}") is None


def test_a_file_that_was_just_written_and_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "text": "x"}\n{"id": 2, "text": "y"}\n')
    part = next(open_source(str(path)).parts())
    assert isinstance(part, Part)
    events = read_part(part, None, SeenIds())
    next(events)
    path.write_text('{"id": 1, "text": "z"}\n{"id": 2, "text": "y"}\n')
    assert [getattr(event, "fingerprint", "") for event in events][-1] is None


def test_a_file_with_problems_is_read_again(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.jsonl", "{")).ends[0].fingerprint is None


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", '{"id": 1, "text": "x"}\n{"id": 2, "text": "y"}\n')
    part = next(open_source(str(path)).parts())
    assert isinstance(part, Part)
    events = read_part(part, None, SeenIds())
    next(events)
    os.utime(path, (1_600_000_009, 1_600_000_009))
    assert [getattr(event, "fingerprint", "") for event in events][-1] is None


def test_parts_that_vanished_have_no_end(site: Path) -> None:
    known = read(site).known
    (site / "b.md").unlink()
    found = read(site, known=known.get)
    assert set(known) - {end.part for end in found.ends} == {f"{site}:b.md"}
    assert found.sources[0].complete


# --- documents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.py", "a.pdf", "a.png", "a.npy", "a.fvecs", "a.h5"])
@pytest.mark.parametrize(
    "content", [b"\x00\xff\xfe\x01" * 500, b"\x80" * 100, b"caf\xe9 \x00"], ids=["junk", "x80", "nul"]
)
def test_binary_junk_is_a_problem_in_every_format(tmp_path: Path, name: str, content: bytes) -> None:
    found = read(put(tmp_path / name, content))
    assert (len(found.problems), found.items, found.ends[0].state) == (1, [], "failed")


NAMES = [
    "a.jsonl",
    "a.csv",
    "a.tsv",
    "a.txt",
    "a.md",
    "a.html",
    "a.py",
    "a.png",
    "a.npy",
    "a.bvecs",
    "a.csv.gz",
    "a.arrow",
]
PIECES = [b"id,text\n", b'{"id": 1, "text": "x"}\n', b'"', b"\xff\xfe", b"\x00", b"<a", b"\r", b"\x1f\x8b", b"---\n"]


@given(name=st.sampled_from(NAMES), content=st.lists(st.sampled_from(PIECES) | st.binary(max_size=20)).map(b"".join))
def test_any_bytes_in_any_format_end_in_items_and_problems(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    found = read(put(tmp_path_factory.getbasetemp() / "any" / name, content))
    assert [(end.items, end.problems) for end in found.ends] == [(len(found.items), len(found.problems))]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.pdf", "a.png", "a.npy", "a.fvecs", "a.h5"])
def test_an_empty_document_is_a_problem(tmp_path: Path, name: str) -> None:
    assert len(read(put(tmp_path / name, b"")).problems) == 1


def test_a_document_that_is_too_large_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecdb.ingest.sources.documents.TEXT_FILE_BYTES_MAX", 10)
    assert "larger" in read(put(tmp_path / "a.txt", "x" * 11)).problems[0].message


def test_text_in_another_encoding_is_a_problem_with_its_line(tmp_path: Path) -> None:
    found = read(put(tmp_path / "a.txt", "one\ntwo\ncafé".encode("latin-1")))
    assert (found.lines, "0xe9" in found.problems[0].message) == ([3], True)


def test_detection_finds_the_encoding_of_a_language(tmp_path: Path) -> None:
    pytest.importorskip("charset_normalizer")
    text = "Der Fluß fließt über weite Felder, und die Bäume blühen schön im späten Frühling. " * 20
    found = read(put(tmp_path / "a.txt", text.encode("cp1252")), encoding="detect")
    assert [item.text for item in found.items] == [text]


def test_detection_gives_up_on_junk(tmp_path: Path, rng: np.random.Generator) -> None:
    assert read(put(tmp_path / "a.txt", rng.bytes(4_000)), encoding="detect").items == []


@given(data=st.binary(max_size=200), encoding=st.sampled_from([None, "utf-8", "cp1252", "utf-16"]))
def test_decoding_gives_text_or_an_error_and_never_something_else(data: bytes, encoding: str | None) -> None:
    try:
        text = decode_text(data, encoding)
    except VecDBError:
        return
    assert "\x00" not in text
    assert "\r" not in text


def test_front_matter_is_no_text(tmp_path: Path) -> None:
    item = read(put(tmp_path / "a.md", '---\ntitle: "T"\ndraft: no\n---\n# Head\ntext\n')).items[0]
    assert (item.text, item.metadata["title"]) == ("# Head\ntext\n", "T")
    assert item.metadata["front_matter"] == {"title": "T", "draft": "no"}


def test_a_rule_at_the_top_is_no_front_matter(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.md", "---\ntext\n")).items[0].text == "---\ntext\n"


def test_code_knows_its_language(site: Path) -> None:
    assert read(site).items[-1].metadata == {"path": "src/x.py", "language": "python"}


# --- web pages -------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html><html><head><title>A &amp; B</title><style>p{}</style><script>if (a<b) x("</p>")</script>
</head><body><nav>Menu</nav><header>Logo</header><main><h1>Head</h1><p>One <b>two</b>&nbsp;three.<p>Four<br>five
<!-- <p>comment</p> --><a title="a > b">link</a></main><footer>Imprint</footer></body></html>"""


def test_of_a_page_its_main_text_and_title_are_read() -> None:
    page = page_content(PAGE)
    assert (page.title, page.text) == ("A & B", "Head\n\nOne two three.\n\nFour\nfive link")


def test_a_page_without_main_gives_what_is_no_margin() -> None:
    assert page_content("<nav>menu</nav><p>text</p><footer>f</footer>").text == "text"


def test_a_page_that_is_all_margin_gives_it() -> None:
    assert page_content("<nav>menu").text == "menu"


@pytest.mark.parametrize(
    "html",
    ["<" * 50_000, "<a " * 50_000, "<!--" * 50_000, "<div>" * 50_000, "<script>" * 20_000,
     '<a "' * 50_000 + ">", "</" * 50_000,
     "<title>" * 20_000, "&amp" * 50_000, "<a '\">" * 30_000],
    ids=["angles", "tags", "comments", "divs", "scripts", "quotes", "ends", "titles", "entities", "mixed quotes"],
)  # fmt: skip
def test_malformed_pages_come_to_an_end(html: str) -> None:
    assert len(page_content(html).text) <= len(html)


MARKUP = ["<p>", "</p>", "<script>", "</script>", "<", ">", "x", "<!--", "-->", '"', "&lt;", "<nav>", "<main"]


@given(html=st.lists(st.sampled_from(MARKUP)).map("".join))
def test_any_page_gives_text(html: str) -> None:
    assert "<script>" not in page_content(html).text


def test_a_page_says_its_encoding(tmp_path: Path) -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><p>café “x”'.encode("cp1252")
    assert read(put(tmp_path / "a.html", page)).items[0].text == "café “x”"


# --- PDF -------------------------------------------------------------------------------------------------------------


def _pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for text in pages:
        stream = f"BT /F1 12 Tf 20 20 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
    kids = " ".join(f"{number} 0 R" for number in range(5, len(objects) + 1, 2))
    objects[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"
    out, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    end = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return f"{out}xref\n0 {size}\n0000000000 65535 f \n{table}{end}".encode("latin-1")


def test_each_page_of_a_pdf_is_an_item(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    found = read(put(tmp_path / "a.pdf", _pdf("first page", "second page")))
    assert [(item.id, item.text, item.metadata["page"]) for item in found.items] == [
        ("a.pdf#page=1", "first page", 1),
        ("a.pdf#page=2", "second page", 2),
    ]


def test_a_page_without_text_is_a_problem_of_that_page(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    found = read(put(tmp_path / "a.pdf", _pdf("first", "", "third")))
    assert [item.metadata["page"] for item in found.items] == [1, 3]
    assert [str(problem.position) for problem in found.problems] == [f"{tmp_path}/a.pdf, page 2"]


def test_a_damaged_pdf_never_raises(tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("pypdf")
    whole = _pdf("first", "second")
    for _ in range(40):
        cut = whole[: int(rng.integers(len(whole)))]
        flipped = bytearray(whole)
        flipped[int(rng.integers(len(whole)))] ^= 1 << int(rng.integers(8))
        assert all(read(put(tmp_path / "a.pdf", bytes(content))).ends for content in (cut, flipped))
