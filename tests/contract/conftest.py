"""Engines that live as long as the session, and the list of what they get wrong.

A suite takes a fixture with parameters of the name of an engine; only the engines that a test
runs on are started.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.engines import BOTOCORE, gaps
from contract.queues import MemoryQueues, Queues, engine_queues
from engines.dynamodb_local import dynamodb_local
from engines.elasticmq import elasticmq
from engines.java import free_port as unreachable_port
from tenantry_local.engine import start_engine
from tenantry_local.model import EngineKind
from tenantry_local.processes import Processes, free_port

#: Seconds to end an engine of the laptop's by SIGTERM.
STOP_SECONDS = 5.0


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known by which a test names what it needs of an engine."""
    config.addinivalue_line(
        "markers", "needs(operation): what engine_gaps.yaml calls it where an engine lacks it"
    )
    # aiohttp says so of more than 1 MiB, which SQS and DynamoDB take in a call of ours.
    config.addinivalue_line(
        "filterwarnings", "ignore:Sending a large body directly with raw bytes:ResourceWarning"
    )


@pytest.fixture(autouse=True)
def _engine_gap(request: pytest.FixtureRequest) -> None:
    """Expect a test to fail on an engine that lacks what it needs, and to pass on all others."""
    callspec = getattr(request.node, "callspec", None)
    engine = callspec.params.get("engine") if callspec else None
    for mark in request.node.iter_markers("needs"):
        for gap in gaps():
            if (gap.engine, gap.operation) == (_name(engine), mark.args[0]):
                reason = f"{gap.engine}, {gap.operation}: {gap.reason}"
                request.applymarker(
                    pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason)
                )


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine two seconds pass before a loop looks at its connection."""
    monkeypatch.setattr("tenantry.aws.CONNECT_SECONDS", 20.0)


@pytest.fixture
def engine_url(engine: str, request: pytest.FixtureRequest) -> str | None:
    """Where the engine of a test is, which is started now; None in memory."""
    if engine.startswith("fake"):
        return None
    url: str = request.getfixturevalue(f"{_name(engine).replace('-', '_')}_url")
    return url


def _name(engine: str | None) -> str:
    """Of the engine alone, however it is reached."""
    return (engine or "").removesuffix(BOTOCORE)


@pytest.fixture(scope="session")
def moto_url() -> Generator[str]:
    """The moto server."""
    # Half a second, which only those pay who want it.
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """ministack, as the laptop starts it."""
    with _engine_of_the_laptop("embedded", tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture(scope="session")
def standin_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The project's own stand-in, as the laptop starts it."""
    with _engine_of_the_laptop("standin", tmp_path_factory.mktemp("standin")) as url:
        yield url


@contextmanager
def _engine_of_the_laptop(kind: EngineKind, folder: Path) -> Generator[str]:
    port = free_port()
    processes = Processes()
    # Not `asyncio.run`, which would take the loop of the tests away; nor in a thread, with whose
    # end the engine would end.
    loop = asyncio.new_event_loop()
    try:
        process = loop.run_until_complete(start_engine(processes, port, folder, kind))
        yield f"http://127.0.0.1:{port}"
        loop.run_until_complete(processes.stop([process], seconds=STOP_SECONDS))
    finally:
        processes.close()
        loop.close()


@pytest.fixture(scope="session")
def dynamodb_local_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """DynamoDB Local."""
    with dynamodb_local(tmp_path_factory.mktemp("dynamodb-local")) as url:
        yield url


@pytest.fixture(scope="session")
def elasticmq_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """ElasticMQ."""
    with elasticmq(tmp_path_factory.mktemp("elasticmq")) as url:
        yield url


@pytest.fixture(scope="session")
def nowhere_url() -> str:
    """An address of this machine where nothing listens."""
    return f"http://127.0.0.1:{unreachable_port()}"


@pytest.fixture(scope="session", autouse=True)
def _no_account_of_the_users() -> Generator[None]:
    """Nothing that a client reads from the environment leads to AWS."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "BOTO"))]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


def pytest_report_header() -> str:
    """Where the gaps are listed."""
    return f"engine gaps: {len(gaps())} in {Path('tests/contract/engine_gaps.yaml')}"


@pytest.fixture
async def queues(engine: str, engine_url: str | None) -> AsyncGenerator[Queues]:
    """The queues of the engine of a test."""
    if engine_url is None:
        yield MemoryQueues()
        return
    async with engine_queues(engine_url, engine) as queues:
        yield queues
