"""Keeps a collection true to its sources: reads, compares, cuts, embeds, delivers and journals, never paying twice.

Start with `running.run`; `job` says what a run is given, `events` what it tells while it goes on, `reports` what it
gives back. `destination` is where records go, in a directory or at a server.
The order that makes it safe: embed, keep in the cache (synced), deliver (acknowledged), journal. A crash at any place
repeats only what is idempotent, and pays again for at most the calls of the model that were under way.
"""
