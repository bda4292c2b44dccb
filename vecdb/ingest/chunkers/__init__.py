"""Cuts texts into chunks that a model can embed, each with its place in the text it was cut from.

Start with `choosing.make_chunker`; `chunk` has the types.
"""
