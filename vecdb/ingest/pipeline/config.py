"""Every limit and default of a run, with the reason for its value."""

from __future__ import annotations

from typing import Final

READERS_DEFAULT: Final = 1
"""Reading is much cheaper than embedding: one reader keeps several embedders busy."""

QUEUE_BYTES_DEFAULT: Final = 24 * 1024 * 1024
"""What waits between the stages; 24 MiB are some 15,000 chunks with 256 components, a second of work, or 3,000 with
1,536, more than eight calls of a service take."""

CACHE_BYTES_DEFAULT: Final = 8 * 1024**3
"""Embeddings kept: a million of 1,536 components, or eight million of the built-in model's."""

RETRY_FOR_S: Final = 600.0
"""How long a provider or server is asked again: a restart or a rate limit passes, an outage should be seen."""

READERS_SHARE: Final = 4
"""A quarter of `queue_bytes` is for what was read and not yet compared, the rest for what is on its way."""

ITEM_BYTES: Final = 512
"""What an item or chunk takes in memory beside its text and vector, about: its objects, id and place."""

READ_AHEAD_PARTS: Final = 2
"""Parts that are read or listed ahead, for each reader: small files follow one another without a pause."""

READ_ITEMS: Final = 1_024
READ_BYTES: Final = 1024 * 1024
"""Items that are compared with the journal at a time: one transaction of it for all of them."""

READ_POLL_S: Final = 0.05
"""How long items of a slow source (a pipe) wait for company."""

NOTIFY_ITEMS: Final = 64
"""A reader wakes up whoever waits for its items after so many: each waking costs 10 µs, as much as reading one."""

LOOK_ITEMS: Final = 16
"""A reader looks whether the run is to stop before so many items: looking takes a tenth as long as reading one."""

GROUP_CHUNKS: Final = 2_048
GROUP_CHUNKS_MIN: Final = 32
GROUP_BYTES: Final = 2 * 1024 * 1024
GROUP_S: Final = 0.5
"""What is delivered and journalled at once, items and chunks counted together: as soon as a user wants to see it, but
not so little that the disk is waited for all the time. Half as many took a twelfth more time, twice as many no less."""

IDLE_TEXTS: Final = 256
"""A call with a multiple of so many texts goes off before it is full when the model has nothing else to do."""

CALLS_WAITING: Final = 2
"""Calls of the model that wait, for each that is under way, so that none waits for the reading. What bounds them with
the built-in model is `queue_bytes`, so that memory is level whichever stage is the slowest."""

RETRY_PAUSE_S: Final = 0.5
RETRY_PAUSE_MAX_S: Final = 30.0
"""Pauses before a provider is asked again: drawn from 0 to a bound that doubles up to half a minute."""

SPLIT_AFTER: Final = 4
"""Failures of one call, by a provider that answers others, until it is suspected of holding what the provider cannot
take, and is halved."""

BREAKER_FAILURES: Final = 5
"""Failures in a row that open the circuit breaker: more than the calls of one text, fewer than two rounds of eight."""

POISON_STREAK: Final = 8
"""Texts in a row that a provider refuses, until a text that is surely good tells whether it refuses all."""

CONTROL_TEXT: Final = "A text that every model can embed, number {number}."

COLLECT_AFTER: Final = 50_000
"""Objects made until Python looks for circles among them. Items and chunks make none, and are thousands at any time:
looking at all of them after every 700 took a tenth of a run."""

SWITCH_S: Final = 0.001
"""How long a thread may keep others from Python's lock: with the usual 5 ms, the processes that embed wait for whoever
takes their rows. 117,659 texts took 6.8 to 7.0 s in two runs and 7.8 to 8.6 in two others; in a third pair, on
a busy machine, 5 ms took less."""

STOP_POLL_S: Final = 0.1
"""How often what waits looks whether the run is to stop."""

PROGRESS_S: Final = 0.2
"""Progress is told at most so often."""

BEGUN_GROUPS: Final = 4
"""Groups that are journalled as about to be stored in one commit, if so many wait: the later the delivery is, the less
it waits for the disk."""

JOURNAL_S: Final = 0.5
"""What was acknowledged is journalled at least so often."""

CHUNK_BYTES_EXTRA: Final = 256
"""What a record takes in a message beside its vector and text, about: ids, neighbours, offsets."""

TRANSACTION_BYTES_MAX: Final = 24 * 1024 * 1024
"""All chunks of one item change in one transaction, which must fit one message of a server (32 MiB by default)."""

STORED_TEXT_BYTES: Final = 48 * 1024
"""How much of a chunk's text is stored beside its vector: metadata has 64 KiB for everything."""

SAMPLE_TEXTS: Final = 512
SAMPLE_S: Final = 1.0
"""What a plan embeds to measure a model that costs nothing, at most."""

CHECKED_IDS: Final = 1_000
"""Records whose versions are asked for at once when a destination is compared with the journal."""

PROBLEMS_TOLD: Final = 100
"""Problems that a plan lists; it counts all."""
