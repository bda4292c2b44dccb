"""Embeds texts and images into one space with a CLIP-style model of sentence-transformers (clip-ViT-B-32 and others).

Promises and Concurrency: as `sentence`. An image that cannot be decoded is InvalidRequestError with its `index`;
Pillow's own limit on pixels holds.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecdb.errors import InvalidRequestError
from vecdb.ingest.embedders import extras
from vecdb.ingest.embedders.checked import estimated_tokens, finished, require_texts
from vecdb.ingest.embedders.config import LOCAL_BATCH_TEXTS, LOCAL_TOKENS_DEFAULT
from vecdb.ingest.embedders.fingerprint import ModelFingerprint
from vecdb.ingest.embedders.protocol import EmbedderLimits, Image, Role
from vecdb.ingest.embedders.sentence import encode, open_model, revision_of

PROVIDER: Final = "clip"


class ClipEmbedder:
    """A model that embeds texts and images alike: a name on the hub, or a directory."""

    __slots__ = ("_lock", "_model", "_pillow", "fingerprint", "limits")

    def __init__(
        self, name: str, *, revision: str | None = None, normalize: bool = True, device: str | None = None
    ) -> None:
        self._pillow = extras.required("PIL.Image", extra="clip", needed_by="a CLIP model")
        self._model = open_model(name, revision=revision, device=device, extra=PROVIDER)
        self._lock = threading.Lock()
        # the library does not know the dimension of all such models, so one text is embedded to see
        own = len(self._model.encode("dimension", show_progress_bar=False))
        self.fingerprint = ModelFingerprint(
            provider=PROVIDER,
            name=Path(name).name if Path(name).is_dir() else name,
            revision=revision_of(name, self._model) or revision or "",
            dim=own,
            normalized=normalize,
            location=str(Path(name).resolve()) if Path(name).is_dir() else "",
        )
        window = int(getattr(self._model, "max_seq_length", None) or LOCAL_TOKENS_DEFAULT)
        self.limits = EmbedderLimits(
            batch_texts=LOCAL_BATCH_TEXTS, batch_tokens=LOCAL_BATCH_TEXTS * window, text_tokens=window
        )

    def embed(self, texts: Sequence[str], *, role: Role = "document") -> NDArray[np.float32]:
        """One row for each text; documents and queries are embedded alike."""
        del role
        require_texts(texts)
        return self._rows(list(texts))

    def embed_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """One row for each image file, given as bytes or as a path."""
        return self._rows([self._decoded(image, index) for index, image in enumerate(images)])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return estimated_tokens(texts)

    def close(self) -> None:
        """Nothing to give back: the weights go with the object."""

    def _rows(self, items: list[Any]) -> NDArray[np.float32]:
        given = encode(self._model, self._lock, items, self.fingerprint) if items else []
        return finished(given, len(items), self.fingerprint)

    def _decoded(self, image: Image, index: int) -> Any:
        source = io.BytesIO(image) if isinstance(image, bytes) else image
        try:
            with self._pillow.open(source) as opened:
                return opened.convert("RGB")
        except Exception as error:
            raise InvalidRequestError(
                f"image {index} cannot be read ({type(error).__name__}); give a file of PNG, JPEG, WebP or the like",
                index=index,
            ) from error
