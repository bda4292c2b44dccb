"""Keep a collection true to a folder of documents, from Python: plan, run, change, run again, ask, and see failures.

`vecdb ingest` does the same from a shell, see the README.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import vecdb
from vecdb.ingest.pipeline.events import ItemFailed, RunEvent

PAGES = {
    "backups.md": "# Backups\n\nA copy of the data is made every night.\n\n## Restoring\n\nAsk the operators.\n",
    "office.md": "# Office\n\nThe office is open from nine to five.\n\n## Keys\n\nLost keys: ask at the desk.\n",
    "people.jsonl": '{"id": "leave", "text": "Holidays are asked for in the portal."}\n{"id": "odd"}\n',
}


class Reporter:
    """An observer: it is told everything that happens in a run, and must be quick."""

    def observe(self, event: RunEvent) -> None:
        if isinstance(event, ItemFailed):
            print(f"  failed: {Path(event.position).name}: {event.message}")


def main(folder: Path) -> None:
    pages = folder / "pages"
    pages.mkdir()
    for name, text in PAGES.items():
        (pages / name).write_text(text)
    to, state = folder / "data", str(folder / "state")

    plan = vecdb.ingest.plan(pages, to=to, collection="help", state=state)
    print(f"planned: {plan.new} new items, {plan.to_embed} chunks to embed, about {plan.tokens} tokens")
    report = vecdb.ingest.run(pages, to=to, collection="help", state=state, observer=Reporter())
    print(f"stored {report.counts.chunks_stored} chunks of {report.counts.stored} items; {report.failures} failed")

    (pages / "office.md").write_text(PAGES["office.md"].replace("nine to five", "eight to four"))
    (pages / "backups.md").unlink()
    (pages / "people.jsonl").write_text(PAGES["people.jsonl"].replace('"odd"', '"odd", "text": "Odd days are free."'))
    report = vecdb.ingest.run(pages, to=to, collection="help", state=state)
    counts = report.counts
    print(f"then: {counts.changed} changed, {counts.deleted} deleted; {counts.embedded} chunks cost something")

    with vecdb.open(to, mode="r") as db:
        docs = db.collection("help")
        with contextlib.closing(vecdb.ingest.open_model(docs)) as model:
            for question in ("opening hours", "I lost my key", "vacation"):
                hit = docs.search(model.embed([question], role="query")[0], limit=1, model=model.fingerprint)[0]
                text = (hit.metadata or {})["text"]
                print(f"{question:<22}{hit.score:.2f}  {hit.id}: {' '.join(text.split())}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(Path(directory))
