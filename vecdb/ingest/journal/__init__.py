"""What a pipeline remembers: its journal, what it paid for (the cache of embeddings), and what is new since last time.

`states` has the types, `journal` the journal, `comparing` tells new from known, `cache` keeps embeddings.
"""
