"""Several vectors per record: a text and an image embedding, of different dimension and metric.

The two embedders are stand-ins that need no model: a word always gets the same random direction.
"""

from __future__ import annotations

import zlib

import numpy as np

import vecdb
from vecdb.types import FloatArray

PRODUCTS = {
    "mug": ("blue ceramic coffee mug", (0.1, 0.2, 0.8)),
    "cup": ("white ceramic tea cup", (0.9, 0.9, 0.9)),
    "scarf": ("blue woollen winter scarf", (0.15, 0.2, 0.7)),
    "hat": ("red woollen winter hat", (0.8, 0.1, 0.1)),
}


def embed_text(text: str, dim: int = 128) -> FloatArray:
    """The sum of one fixed random direction per word."""
    words = [np.random.default_rng(zlib.crc32(word.encode())).normal(size=dim) for word in text.split()]
    total: FloatArray = np.stack(words).sum(axis=0).astype(np.float32)
    return total


def embed_colour(colour: tuple[float, float, float]) -> FloatArray:
    return np.array(colour, dtype=np.float32)


with vecdb.open(":memory:") as db:
    shop = db.create_collection(
        "shop",
        fields={
            "text": vecdb.Field(dim=128, metric="cosine", dtype="float16"),
            "image": vecdb.Field(dim=3, metric="l2"),
        },
    )
    shop.upsert(
        list(PRODUCTS),
        {
            "text": np.stack([embed_text(text) for text, _ in PRODUCTS.values()]),
            "image": np.stack([embed_colour(colour) for _, colour in PRODUCTS.values()]),
        },
        [{"text": text} for text, _ in PRODUCTS.values()],
    )
    # a record need not have every field: this one is not found by image
    shop.upsert([{"id": "voucher", "vectors": {"text": embed_text("gift voucher")}, "metadata": {"text": "voucher"}}])

    print("by text 'woollen hat':", shop.search(embed_text("woollen hat"), field="text", limit=2).ids)
    print("by colour blue:       ", shop.search(embed_colour((0.1, 0.2, 0.8)), field="image", limit=2).ids)
    print(
        "with an image:        ",
        len(shop.search(embed_colour((0.5, 0.5, 0.5)), field="image", limit=10)),
        "of",
        len(shop),
    )
