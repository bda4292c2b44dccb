"""One process of a pool, a worker or the writer: run as `python -m vecdb.server.pool.member FD` by the supervisor.

Promises: ends when the supervisor asks it to, and soon after the supervisor is gone. A process that hangs is ended by
the supervisor, or if that is gone by itself: a watchdog that needs no interpreter is wound up with every beat. Signals
to the group are the supervisor's affair.
Concurrency: the main thread obeys the supervisor, another beats; calls are answered by the threads of the server.
"""

from __future__ import annotations

import base64
import contextlib
import faulthandler
import gc
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from vecdb.errors import ClosedError, VecDBError
from vecdb.server.app import Role, Service
from vecdb.server.pool.config import BEAT_S, HANG_S, ORPHAN_DRAIN_S, PIN_MAX_S
from vecdb.server.pool.control import Control
from vecdb.server.pool.forwarding import Forwarder, worker_rules
from vecdb.server.pool.plan import Part, Plan
from vecdb.wire.status import status_of

if TYPE_CHECKING:
    from vecdb.engine.database import Database

logger = logging.getLogger("vecdb.server.pool")

FAILED: Final = 70
"""Exit status of a process that could not start, or gave itself up (EX_SOFTWARE)."""


@contextlib.contextmanager
def serving_part(plan: Plan) -> Iterator[tuple[Service, Database]]:
    """The database and the server of a process, ready to be started."""
    from vecdb.engine.database import Database  # noqa: PLC0415 - lmdb comes with it
    from vecdb.server.services import bind_services  # noqa: PLC0415 - as above

    is_writer = plan.part == "writer"
    durability: Any = plan.config.durability
    opened = Database.open(
        plan.config.data, "rw" if is_writer else "r", durability=durability, create=is_writer, config=plan.engine
    )
    with opened as database, contextlib.ExitStack() as undo:
        database.warm_up()
        if is_writer:
            config = plan.for_writer()
            role = Role(pass_secret=plan.secret, metrics_page=False)
            yield Service(config, bind_services(database, config), database=database, role=role), database
            return
        config = plan.for_worker()
        forwarder = Forwarder(plan.socket, plan.secret, config)
        undo.callback(forwarder.close)
        role = Role(share_port=True, rules=worker_rules(), metrics_page=False)
        bindings = forwarder.bindings(bind_services(database, config))
        yield Service(config, bindings, role=role, reads_from=database), database


def run_member(control: Control) -> int:
    """Serve until told to stop, or until nobody is there to tell. Returns the exit status."""
    facts = control.receive()
    if facts is None:
        return FAILED
    plan = Plan.of(facts["plan"])
    try:
        with serving_part(plan) as (service, database):
            service.start()
            gc.collect()
            gc.freeze()  # see `run_server`
            threading.Thread(target=beat, args=(control, database, plan.part), name="vecdb-beat", daemon=True).start()
            control.send("ready")
            drain_s = obey(control, service)
            faulthandler.dump_traceback_later(drain_s + HANG_S, exit=True)
            service.stop(drain_s)
            is_orphan = drain_s == ORPHAN_DRAIN_S
    except VecDBError as error:
        control.send("failed", status=base64.b64encode(status_of(error).SerializeToString()).decode())
        return FAILED
    if is_orphan and plan.part == "writer":
        shutil.rmtree(plan.folder, ignore_errors=True)
    return 0


def obey(control: Control, service: Service) -> float:
    """Do what the supervisor says until it says stop, or is gone; returns how long the drain may take."""
    while (order := control.receive()) is not None:
        match order["event"]:
            case "announce":
                service.dispatch.draining.set()  # streams end; calls that the workers still have come through
            case "metrics":
                text = "" if service.metrics is None else service.metrics.text()
                control.send("metrics", number=order["number"], text=text)
            case "stop":
                return float(order["drain_s"])
    logger.error("the supervisor is gone; stopping")
    return ORPHAN_DRAIN_S


def beat(control: Control, database: Database, part: Part) -> None:
    """Tell again and again that the process is alive, and give it up when it keeps an old state pinned."""
    from vecdb.engine.lifecycle import outdated_pin  # noqa: PLC0415 - see serving_part

    pinned, beats = None, 0  # beats and not seconds, of which some may have passed in a pause of all processes
    while True:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        control.send("beat")
        time.sleep(BEAT_S)
        try:
            oldest = outdated_pin(database) if part == "worker" else None
        except ClosedError:
            return
        beats += 1
        if oldest is None or oldest != pinned:
            pinned, beats = oldest, 0
        elif beats * BEAT_S > PIN_MAX_S:
            logger.error("a read keeps a state of the database open that is over %.0f s old; giving up", PIN_MAX_S)
            os._exit(FAILED)


def main() -> None:
    """Run the process and end it, without taking apart what took long to load."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    status = run_member(Control(int(sys.argv[1])))
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
