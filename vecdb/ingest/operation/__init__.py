"""Operates the ingestor: settings, where state lies, progress, metrics, watching, and what became of earlier runs.

Start with `settings`; `commands` has what `vecdb ingest` does, as functions (`vecdb.ingest.run` and so on).
"""
