"""The ingestor: reads sources, cuts their texts into chunks, embeds these and keeps a collection true to them.

Not here: storing and searching, which it asks of a server or of an embedded database.
"""
