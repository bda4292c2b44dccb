"""Move a collection to another model while it is used: fill, compare, switch, and take it back.

`vecdb reembed` does the same from a shell, see the README. The old model here is a function that knows letters and not
meanings; the new one is the model in the package.
"""

from __future__ import annotations

import contextlib
import tempfile
import zlib
from pathlib import Path

import numpy as np

import vecdb

NOTES = [
    "Lunch is from noon to two.",
    "The canteen is closed in August.",
    "Holidays are asked for in the staff portal.",
    "Sick leave needs a letter from a doctor.",
    "Bicycles are kept behind the building.",
    "Visitors park their cars on level one.",
]
PAIRS = "query,id\nwhen can I eat,0\ntaking days off,2\nwhere do I leave my bike,4\na place for the car,5\n"
LETTERS = 64


def by_letters(texts: list[str]) -> np.ndarray:
    """A model of the user: which three letters stand together, hashed."""
    rows = np.zeros((len(texts), LETTERS), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        for start in range(len(text) - 2):
            row[zlib.crc32(text[start : start + 3].lower().encode()) % LETTERS] += 1
    return rows


def ask(folder: Path, question: str) -> str:
    """The text nearest to a question, by whichever model the collection is of now."""
    with vecdb.open(folder / "data", mode="r") as db:
        docs = db.collection("notes")
        with contextlib.closing(vecdb.ingest.open_model(docs)) as model:
            hit = docs.search(model.embed([question], role="query")[0], limit=1, model=model.fingerprint)[0]
            return f"{model.fingerprint.provider}: {(hit.metadata or {})['text']}"


def main(folder: Path) -> None:
    (folder / "notes.csv").write_text("id,text\n" + "\n".join(f"{n},{text}" for n, text in enumerate(NOTES)))
    (folder / "pairs.csv").write_text(PAIRS)
    to, state, old = folder / "data", str(folder / "state"), f"callable:{Path(__file__).stem}:by_letters"
    vecdb.ingest.run(folder / "notes.csv", to=to, collection="notes", state=state, model=old)
    print("before:", ask(folder, "when can I eat"))

    moving = vecdb.ingest.Reembedding("notes", to=to, state=state, model="builtin")
    report = moving.run()
    print(f"{report.counts.stored} records have vectors of both models; searches still use the old ones")
    found = moving.compare(folder / "pairs.csv", k=2)
    assert found.pairs is not None
    print(
        f"recall@2 of {found.pairs.pairs} pairs: {found.pairs.old_recall:.2f} before, {found.pairs.new_recall:.2f} then"
    )

    with vecdb.open(to) as db:
        db.collection("notes").update("1", metadata={"text": "The canteen is closed in July."})
    switched = moving.switch()  # embeds what was written meanwhile, then exchanges the two in one commit
    print(f"switched to {switched.model}")
    print("after:", ask(folder, "when can I eat"))
    moving.rollback()
    print("back:", ask(folder, "when can I eat"))
    moving.switch()
    moving.finish()  # drops the old vectors
    print(f"stage: {moving.status().stage}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(Path(directory))
