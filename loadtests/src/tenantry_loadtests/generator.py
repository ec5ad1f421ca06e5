"""One generator process: `python -m tenantry_loadtests.generator local|master|worker …`.

Importing Locust makes this process's sockets gevent's, so nothing else lives in it. It is told a
plan by a private file, says how it goes in lines of JSON on standard output, and leaves what it
counted in a folder. It ends when its standard input does; a worker ends with its master.
"""

from __future__ import annotations

import logging
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
import locust.runners
from gevent.event import Event  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import Runner

from tenantry_loadtests.crew import HAS_PLAN, PLAN, REPORT, WANTS_PLAN
from tenantry_loadtests.lead import Lead
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.process import GeneratorProcess
from tenantry_loadtests.users import user_classes

_REPORT_SECONDS: Final = 1.0
_STOP_MARGIN_SECONDS: Final = 2.0


def work(plan: Plan, host: str, port: int) -> None:
    """Be a worker: do what the master's plan says, with the tokens of this machine's list."""
    environment = Environment(stop_timeout=0)
    runner: Any = environment.create_worker_runner(host, port)
    processes: list[GeneratorProcess] = []
    prepared = Event()
    start_users = runner.start_worker

    def start_worker(user_classes_count: dict[str, int]) -> None:
        # A worker that comes late may be told to start users before it is told what those are.
        prepared.wait()
        start_users(user_classes_count)

    runner.start_worker = start_worker

    def on_plan(msg: Any, **_: Any) -> None:
        if processes:
            return
        theirs = Plan.from_wire(msg.data).with_tokens_of(plan.tenants)
        process = GeneratorProcess(theirs, environment, worker=runner.client_id[-12:])
        environment.user_classes[:] = user_classes(theirs, process.bench)
        process.start()
        processes.append(process)
        prepared.set()
        runner.send_message(HAS_PLAN)

    def on_report(data: dict[str, Any], **_: Any) -> None:
        if processes:
            data[REPORT] = processes[0].report()

    def on_stop(**_: Any) -> None:
        # Else it stays away from the master for as long again, and is not told to quit.
        environment.stop_timeout = 0.0

    runner.register_message(PLAN, on_plan)
    # It is connected since it was made, which may be before anybody listened.
    runner.send_message(WANTS_PLAN)
    events: Any = environment.events
    events.report_to_master.add_listener(on_report)
    events.test_stop.add_listener(on_stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, lambda: gevent.spawn(runner.quit))
    runner.greenlet.join()


def main() -> None:
    """Generate: `local PLAN OUT`, `master PLAN OUT`, or `worker PLAN HOST PORT [once]`.

    A plan that is read `once` is removed with its folder: nobody else needs it.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    locust.runners.WORKER_REPORT_INTERVAL = _REPORT_SECONDS
    role, plan_path, *rest = sys.argv[1:]
    plan = Plan.read(Path(plan_path))
    if role == "worker":
        if rest[2:] == ["once"]:
            shutil.rmtree(Path(plan_path).parent)
        work(plan, rest[0], int(rest[1]))
        return
    environment = Environment(stop_timeout=plan.request_seconds + _STOP_MARGIN_SECONDS)
    runner: Runner
    if role == "master":
        runner = environment.create_master_runner(*plan.bind)
    else:
        runner = environment.create_local_runner()
    Lead(plan, Path(rest[0]), environment, runner).lead()


if __name__ == "__main__":
    main()
