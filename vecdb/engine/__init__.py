"""The embedded database: joins `storage` (bytes, transactions) and `index` (vectors, graphs) into records and searches.

Reading order: `schema` and `validate` (what comes in), `tail` and `view` (what a reader sees), `operations` and
`writer` (how it changes), `indexer` and `compaction` (how the tail becomes segments), `search` (how it is answered),
`collection` and `database` (the public objects).
"""
