"""The client: the embedded API over gRPC, for threads (`vecdb.connect`) and for asyncio (`vecdb.connect_async`).

How it is built. What a method does is a plan: a generator that yields effects (call this method, wait so long, read
from that stream) and is sent their results. Plans build requests, read replies, repeat what failed and cut what is too
large; they know of no transport. Two small drivers, one that blocks and one that awaits, carry the effects out. So the
two fronts differ only in how they call, and everything worth a test exists once.

    database, async_database    the two fronts: signatures, and one line for each method
    writing, reading, searching, upkeep, collections, ingesting    plans
    calling, retrying           one call with its deadline and repetitions
    transport, async_transport  the drivers
    connecting, credentials     addresses, TLS, keys, channels

Promises: importing it loads neither grpc nor anything of the engine; grpc comes with the first `connect`.
"""
