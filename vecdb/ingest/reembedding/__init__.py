"""Moves a collection to another embedding model while it is searched and written to.

    run      adds a field beside the one of now, "default-next" beside "default", and fills it from the texts in the
             metadata; what is written meanwhile is due too, and the next round or run embeds it
    compare  tells what the two models find, before anybody depends on the new one
    switch   exchanges the two names in one commit, when no record is without a true vector of the new model
    rollback takes that back, with what was written since; finish drops the old vectors, cancel the new ones

`commands` has these as functions. `roles` reads from the collection how far it is; `due` says which records want a
vector, and why one that is there is true; `backfill` makes them; `switching` says why none is missing or stale at the
switch; `comparison` and `queries` compare; `places` and `surroundings` open what is needed.
Nothing but the collection decides how far a re-embedding is. The cache of embeddings, shared with the ingestor, makes
sure that nothing is paid for twice; a journal remembers what could not be embedded.
"""
