"""The fingerprints of models under the name that the ingestor uses; see `vecdb.fingerprint`, where the engine has them.

Concurrency: values and pure functions.
"""

from __future__ import annotations

from vecdb.fingerprint import ModelFingerprint, differences, require_same_model

__all__ = ["ModelFingerprint", "differences", "require_same_model"]
