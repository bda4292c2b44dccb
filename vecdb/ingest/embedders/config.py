"""Every limit and default of embedding, with the reason for its value."""

from __future__ import annotations

from typing import Final

EMBED_TEXT_BYTES_MAX: Final = 1024 * 1024
"""Longest text that an embedder takes, in UTF-8: a short book. Chunks are a thousandth of it."""

STATIC_TOKENS_MAX: Final = 8_192
"""Tokens of a text that the built-in model reads: it has no window of its own, and this bounds the memory of a text."""

STATIC_BATCH_TEXTS: Final = 512
"""Texts that the built-in model tokenises and sums at a time: their sums, 512 KiB, stay near the processor."""

STATIC_BATCH_TOKENS: Final = 256 * STATIC_TOKENS_MAX
"""Tokens of one call of the built-in model."""

STATIC_SHORT_TOKENS: Final = 64
"""Up to so many tokens a text is summed together with others; a longer one by itself, since few are as long."""

LOCAL_BATCH_TEXTS: Final = 32
"""Texts that a model in this process runs through at a time; larger batches only pad more."""

LOCAL_TOKENS_DEFAULT: Final = 512
"""Tokens of a text that a model reads whose files do not say: what most encoders were trained with."""

HTTP_BATCH_TEXTS: Final = 256
HTTP_BATCH_TOKENS: Final = 65_536
"""Texts and tokens of one request: services allow 2,048 and 300,000; smaller requests lose less when one fails."""

HTTP_BATCH_TEXTS_MAX: Final = 2_048

HTTP_TOKENS_DEFAULT: Final = 8_191
"""Tokens of a text that today's hosted models read."""

HTTP_PARALLEL: Final = 8
"""Requests to an endpoint at once: its answer takes long, its work elsewhere costs this machine nothing."""

HTTP_TIMEOUT_S: Final = 60.0
"""Longest time from a request to the end of its reply."""

HTTP_CONNECT_TIMEOUT_S: Final = 10.0

HTTP_FLOAT_BYTES: Final = 32
"""Bytes that a component may take in a JSON reply: a double takes up to 24, and some servers indent."""

HTTP_REPLY_BYTES: Final = 1024 * 1024
"""Bytes that a reply may have beside its vectors, and an error altogether."""

HTTP_MESSAGE_CHARS_MAX: Final = 200
"""Characters quoted of what a service says about an error."""

HTTP_READ_BYTES: Final = 64 * 1024

RETRY_AFTER_MAX_S: Final = 3_600.0
"""Longest wait that a service is believed to ask for; beyond it somebody should look."""

BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes of a token, to estimate where the tokenizer is not at hand: the usual rule for English."""

UNIT_LENGTH_MIN: Final = 1e-12
"""A shorter vector has no direction worth scaling to unit length."""

HELPED_AFTER_TEXTS: Final = 2_048
"""Texts that the built-in model embeds in the process that ingests until others help: an eighth of a second of work."""

HELPED_BYTES_MIN: Final = 1024 * 1024
"""Files of so many bytes are taken for more texts than those, before any is read."""

HELPED_TEXTS_MIN: Final = 64
"""A call of fewer texts is not worth the way to another process."""

HELPED_AT_ONCE: Final = 2
"""Calls that a process works at, each in a thread: while the rows of one are summed, another's texts are tokenised."""

HELPED_CALLS: Final = 3
"""Calls that a process is given: the next lies ready when one is done, whenever its caller gets its turn."""
