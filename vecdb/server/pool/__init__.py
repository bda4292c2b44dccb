"""Serves one database from several processes: `vecdb serve --workers N`.

A supervisor starts one writer and N workers, and does nothing else: it opens no database and answers no call, so
nothing that may crash is in it.

    clients --TCP--> worker 1 .. N --Unix-domain socket--> writer --> database
                       |  mode="r", the same map             ^
                       '-- reads answered here               '-- writes, upkeep, clients on unix:/PATH

Every worker binds the public addresses (SO_REUSEPORT; the kernel spreads connections over them), lets calls in by the
rules of any server, answers reads from its own reader and passes the rest on to the writer as it came (`forwarding`).
The supervisor holds the addresses, so that nobody else can share them (`reservation`). A Unix-domain address cannot be
shared like that; the writer, which answers everything, accepts there itself.

Promises: a reader looks at the newest commit before each read, so an acknowledged write is in whatever any worker
answers afterwards. `min_seq` says the same across a restart. An acknowledged write is on the disk (durability="fsync")
before its answer leaves the writer, so the death of any process, or of all, loses none. A process that dies or hangs is
killed and started again, with growing waits; reads go on while the writer restarts, and writes wait for it. A writer
that keeps failing ends the pool with its error. Nothing outlives the supervisor by more than ORPHAN_DRAIN_S and the end
of what is being committed. SIGTERM or SIGINT drains the workers, then the writer.
Limits count for each process: N workers together take N times as many calls, and pass them on to one writer that takes
as many as one server. The table of request_ids is the writer's, so a repetition may come by way of another worker.
Processes are spawned, never forked: each starts from nothing, with one descriptor. What a process of the pool must
know, secrets too, comes by that descriptor, not by arguments or the environment.
"""
