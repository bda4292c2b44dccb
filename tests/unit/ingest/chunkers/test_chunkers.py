"""What every chunker promises of every text, and what each one does with texts of its kind."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecdb.config import ID_BYTES_MAX
from vecdb.errors import InvalidRequestError
from vecdb.ingest.chunkers.choosing import CHUNKERS, ItemChunker, make_chunker
from vecdb.ingest.chunkers.chunk import Chunker, ChunkSize, Span, chunk_id, make_chunks
from vecdb.ingest.chunkers.config import UNIT_CHARS_MAX
from vecdb.ingest.chunkers.plain import RecursiveChunker, sentence_ends
from vecdb.ingest.chunkers.units import Units, word_offsets

NAMES = [name for name in CHUNKERS if name != "auto"]
CUTTING = [name for name in NAMES if name != "none"]
quick = settings(max_examples=settings().max_examples * 2 // 5)
SMALL = ChunkSize(tokens=8, overlap=3)

words = st.sampled_from([
    "alpha", "beta", "Dr.", "gamma.", "so? ", "# Head", "## Under", "```", "----", "====", "def f():", "class A:",
    "\n", "\n\n", " ", "\t", "\r\n", "\u2028", "。", "很長的句子", "𝒳" * 9, "...", "a" * 80, " " * 70, "(",
    "'''", "@x", "#", "\x00", "  x = 1",
])  # fmt: skip
texts = st.one_of(st.text(max_size=400), st.lists(words, max_size=80).map("".join), st.lists(words).map(" ".join))
sizes = st.integers(8, 20).flatmap(
    lambda tokens: st.builds(ChunkSize, tokens=st.just(tokens), overlap=st.integers(0, tokens // 2))
)
chunkers = st.sampled_from(NAMES)
cutters = st.sampled_from(CUTTING)
cutting = pytest.mark.parametrize("name", CUTTING)


def _covered(spans: list[Span]) -> set[int]:
    return {place for span in spans for place in range(span.start, span.end)}


@quick
@given(name=chunkers, text=texts, size=sizes)
def test_what_no_chunk_covers_is_white_space(name: str, text: str, size: ChunkSize) -> None:
    covered = _covered(make_chunker(name, size).spans(text, "python"))
    assert not "".join(mark for place, mark in enumerate(text) if place not in covered).strip()


@quick
@given(name=chunkers, text=texts, size=sizes)
def test_chunks_are_in_order_and_none_is_blank_or_within_another(name: str, text: str, size: ChunkSize) -> None:
    spans = make_chunker(name, size).spans(text, "rust")
    assert all(text[span.start : span.end].strip() for span in spans)
    assert all(one.start < two.start and one.end < two.end for one, two in pairwise(spans))


@quick
@given(name=cutters, text=texts, size=sizes)
@example(name="tokens", text="a" * 5000, size=SMALL)
@example(name="tokens", text=" " * 5000 + "x" + " " * 5000, size=SMALL)
def test_no_chunk_is_larger_than_its_size(name: str, text: str, size: ChunkSize) -> None:
    units = Units(text)
    for span in make_chunker(name, size).spans(text, "python"):
        inside = units.first_after(span.end) - units.first_after(span.start)
        assert inside <= size.tokens
        assert span.end - span.start <= size.tokens * UNIT_CHARS_MAX


@quick
@given(name=cutters, text=texts, size=sizes)
def test_chunks_share_no_more_than_the_overlap(name: str, text: str, size: ChunkSize) -> None:
    units = Units(text)
    for one, two in pairwise(make_chunker(name, size).spans(text, None)):
        assert units.first_after(one.end) - units.first_after(two.start) <= size.overlap


@quick
@given(name=chunkers, text=texts)
def test_the_same_text_is_always_cut_the_same(name: str, text: str) -> None:
    assert make_chunker(name, SMALL).spans(text) == make_chunker(name, SMALL).spans(text)


@quick
@given(text=texts, size=sizes, kind=st.sampled_from(["text", "markdown", "code", "row"]))
def test_the_text_of_a_chunk_is_where_its_offsets_say(text: str, size: ChunkSize, kind: str) -> None:
    for chunk in ItemChunker(size=size).chunks("doc", text, kind):
        assert chunk.text == text[chunk.start : chunk.end]


@quick
@given(text=texts, starts=st.lists(st.integers(0, 500), max_size=50))
def test_any_tokenizer_gives_units_that_cover_the_text(text: str, starts: list[int]) -> None:
    cuts = Units(text, lambda _piece: [(start, start + 1) for start in sorted(starts)]).cuts.tolist()
    assert (cuts[0], cuts[-1]) == (0, len(text))
    assert all(0 < two - one <= UNIT_CHARS_MAX for one, two in pairwise(cuts))


@given(
    parts=st.lists(
        st.sampled_from(["def f():\n    pass\n", "class B:\n    x = 1\n", "# note\n", "\n", "y = 2\n"]), max_size=30
    )
)
def test_python_is_cut_without_a_chunk_of_two_definitions(parts: list[str]) -> None:
    text = "".join(parts)
    for span in make_chunker("code").spans(text, "python"):
        piece = text[span.start : span.end]
        assert piece.count("def ") + piece.count("class ") <= 1


@cutting
@pytest.mark.parametrize(
    "text",
    [
        "a" * 40_000,
        "." * 40_000,
        " " * 40_000,
        "\n" * 40_000,
        "(" * 40_000,
        "# " * 40_000,
        "\n#" * 40_000,
    ],
    ids=["one word", "dots", "blanks", "newlines", "brackets", "hashes", "comments"],
)
def test_pathological_texts_come_to_an_end(name: str, text: str) -> None:
    assert len(make_chunker(name).spans(text, "python")) <= len(text) / 100  # the square of the length would take hours


def test_a_line_of_ten_megabytes_without_spaces_is_cut() -> None:
    text = "x" * 10_000_000
    spans = make_chunker("recursive", tokenizer=lambda _piece: [(0, 1)]).spans(text)
    assert max(span.end - span.start for span in spans) <= ChunkSize().tokens * UNIT_CHARS_MAX
    assert (spans[0].start, spans[-1].end) == (0, len(text))


# --- sentences and separators ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("One. Two.", [5]),
        ("Dr. Who came. He left.", [14]),
        ("J. R. Tolkien wrote. Much.", [21]),
        ("See e.g. Figure 2. Then go.", [19]),
        ("He said “no.” She left.", [14]),
        ("Wait... what? Yes!", [14]),
        ("Ver. 1.5 is out. Good", [5, 17]),
        ("一。二！三", [2, 4]),
        ("no end here", []),
    ],
)
def test_sentences_end_where_readers_think(text: str, ends: list[int]) -> None:
    assert [end for end in sentence_ends(text) if end < len(text)] == ends


def test_a_chunk_of_sentences_is_of_whole_ones() -> None:
    text = "The first one is short. The second one is a little longer. Third! And here comes the fourth of them."
    spans = make_chunker("sentences", ChunkSize(tokens=16, overlap=0)).spans(text)
    assert all(text[span.end - 1] in ".!" for span in spans)
    assert len(spans) > 1


def test_a_paragraph_is_not_cut_where_it_fits() -> None:
    paragraphs = ["one two three four five.", "six seven eight nine ten.", "eleven twelve thirteen."]
    spans = make_chunker("recursive", ChunkSize(tokens=8, overlap=0)).spans("\n\n".join(paragraphs))
    text = "\n\n".join(paragraphs)
    assert [text[span.start : span.end] for span in spans] == paragraphs


def test_separators_of_ones_own_are_used_first() -> None:
    text = "a b c d e f|g h i j k l|m n o p"
    spans = RecursiveChunker(ChunkSize(tokens=9, overlap=0), separators=("|",)).spans(text)
    assert [text[span.start : span.end] for span in spans] == ["a b c d e f|", "g h i j k l|", "m n o p"]


def test_the_overlap_begins_with_a_word() -> None:
    text = " ".join(f"extraordinary{number}" for number in range(60))
    for span in make_chunker("tokens", ChunkSize(tokens=20, overlap=6)).spans(text)[1:]:
        assert text[span.start - 1] == " "


# --- Markdown --------------------------------------------------------------------------------------------------------

PAGE = """Intro.

# Top

Text of top.

## Left
Left text.

```sh
# no heading
```

### Deep
deep

Under
-----
under text

# Other
"""


def test_sections_know_the_headings_above_them() -> None:
    spans = make_chunker("markdown").spans(PAGE)
    assert [(span.heading_path, PAGE[span.start : span.end].splitlines()[0]) for span in spans] == [
        ((), "Intro."),
        (("Top",), "# Top"),
        (("Top", "Left"), "## Left"),
        (("Top", "Left", "Deep"), "### Deep"),
        (("Top", "Under"), "Under"),
        (("Other",), "# Other"),
    ]


def test_a_comment_in_a_fence_is_no_heading() -> None:
    spans = make_chunker("markdown").spans(PAGE)
    assert "# no heading" in PAGE[spans[2].start : spans[2].end]


def test_a_heading_without_text_goes_to_the_section_below_it() -> None:
    spans = make_chunker("markdown").spans("# A\n\n## B\ntext\n")
    assert [span.heading_path for span in spans] == [("A", "B")]
    assert spans[0].start == 0


# --- code ------------------------------------------------------------------------------------------------------------

MODULE = '''"""A module."""
import os

LIMIT = 3

# what it is for
@wrapped
def first(a):
    """def not_this(): pass"""
    return a

class Thing:
    """A thing."""
    def one(self):
        return 1

    def two(self):
        return 2
'''


def test_python_is_cut_at_its_definitions_with_comments_and_decorators() -> None:
    spans = make_chunker("code").spans(MODULE, "python")
    assert [span.heading_path for span in spans] == [(), ("first",), ("Thing",)]
    assert MODULE[spans[1].start :].startswith("# what it is for\n@wrapped")


def test_a_class_that_is_too_large_is_cut_at_its_methods() -> None:
    spans = make_chunker("code", ChunkSize(tokens=16, overlap=0)).spans(MODULE, "python")
    assert [span.heading_path for span in spans][-3:] == [("Thing",), ("Thing", "one"), ("Thing", "two")]


@pytest.mark.parametrize("text", ["def f(:\n  x", "(" * 10_000, "-" * 50_000 + "1", "x = '''", "\x00def f(): pass"])
def test_python_that_does_not_parse_is_cut_by_its_lines(text: str) -> None:
    spans = make_chunker("code").spans(text, "python")
    assert _covered(spans) >= {place for place, mark in enumerate(text) if not mark.isspace()}


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("rust", "use a;\n\n/// says\npub fn go() {\n}\nimpl X for Y {\n  fn inner() {}\n}\n", [(), ("go",), ("X",)]),
        ("go", "package a\n\nfunc (s *T) Run() {\n}\n", [("a",), ("Run",)]),
        ("typescript", "import x\nexport async function f() {\n}\nexport default class K {\n}\n", [(), ("f",), ("K",)]),
        ("c", "#include <a.h>\nstatic int add(int a,\n  int b)\n{\n}\n", [(), ("add",)]),
        ("ruby", "class A\n  def b\n  end\nend\nmodule M\nend\n", [("A",), ("M",)]),
    ],
)
def test_other_languages_are_cut_at_what_looks_like_a_definition(
    language: str, text: str, names: list[tuple[str, ...]]
) -> None:
    assert [span.heading_path for span in make_chunker("code").spans(text, language)] == names


# --- ids and choice --------------------------------------------------------------------------------------------------


def test_chunks_name_their_neighbours() -> None:
    one, two, three = make_chunks("d", "abc", [Span(0, 1), Span(1, 2), Span(2, 3)])
    assert (one.previous_id, one.next_id) == (None, two.id)
    assert (two.previous_id, two.next_id) == (one.id, three.id)
    assert three.next_id is None


@given(name=st.text(min_size=1, max_size=400), ordinal=st.integers(0, 10**9))
def test_the_id_of_a_chunk_is_always_short_enough(name: str, ordinal: int) -> None:
    assert len(chunk_id(name, ordinal).encode()) <= ID_BYTES_MAX


def test_long_ids_that_begin_alike_stay_apart() -> None:
    assert chunk_id("x" * 300 + "a", 0) != chunk_id("x" * 300 + "b", 0)


def test_a_short_row_keeps_its_id() -> None:
    assert [chunk.id for chunk in ItemChunker().chunks(7, "a short text", "row")] == [7]


def test_a_long_row_is_numbered() -> None:
    chunks = ItemChunker(size=SMALL).chunks(7, "word " * 40, "row")
    assert [chunk.id for chunk in chunks[:2]] == ["7#0", "7#1"]


def test_no_chunker_means_one_chunk_with_the_id_of_its_source() -> None:
    chunks = ItemChunker("none").chunks("d", "word " * 5_000)
    assert [(chunk.id, chunk.end) for chunk in chunks] == [("d", 25_000)]


@pytest.mark.parametrize(("kind", "path"), [("markdown", ("A",)), ("text", ())])
def test_the_kind_of_an_item_chooses_its_chunker(kind: str, path: tuple[str, ...]) -> None:
    assert ItemChunker().chunks("d", "# A\ntext", kind)[0].heading_path == path


@pytest.mark.parametrize("size", [{"tokens": 7}, {"tokens": 10**6}, {"tokens": 10, "overlap": 6}, {"overlap": -1}])
def test_sizes_that_cannot_be_are_refused(size: dict[str, int]) -> None:
    with pytest.raises(InvalidRequestError):
        ChunkSize(**size)


def test_an_unknown_chunker_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequestError, match="sentences"):
        make_chunker("paragraphs")


@quick
@given(text=texts)
def test_the_default_tokens_are_in_order(text: str) -> None:
    offsets = list(word_offsets(text))
    assert offsets == sorted(offsets)
    assert all(start < end for start, end in offsets)


def test_chunkers_follow_the_protocol() -> None:
    made: list[Chunker] = [make_chunker(name) for name in NAMES]
    assert len({one.name for one in made}) == len(NAMES)
