"""Converts between the messages of the protocol and vecdb's own types, in both directions, without any transport.

What reads a message checks it as if it came from an enemy: lengths before anything is reshaped or allocated, types of
every choice, depths before any descent. What is wrong is an error of `vecdb.errors` that names the field. What only the
engine can know (dimensions of fields, NaN, limits of its options) is left to it, so that both fronts say the same.
Promises: vectors are not copied where a message holds them as bytes; arrays read from messages are read-only.
Concurrency: pure functions.
"""
