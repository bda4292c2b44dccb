"""Turns texts (and, where a model can, images) into vectors: one protocol, many providers.

`protocol` says what every embedder does, `fingerprint` which model its vectors are of, `opening` makes one from a
word such as "builtin", "onnx:DIR" or "openai:MODEL". `checked` looks at what goes in and what comes back.
Providers: `static` (the built-in model), `sentence`, `onnx`, `openai`, `clip`, `function`, `precomputed`. Each imports
its library when it is opened; nothing here goes on the network unless its provider is a service or fetches a model.
"""
