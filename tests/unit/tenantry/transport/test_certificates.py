"""Encrypted connections, and whose server is at their other end."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError, SSLError

from fakes.waiting import until
from support.pools import ask, pool_of, start
from support.raw_server import Peer, answer, certificate, echo, raw_server


async def test_a_trusted_server_is_spoken_to(tmp_path: Path) -> None:
    """Encrypted, and kept."""
    made = certificate(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(cafile=made.path)
    async with raw_server(echo, tls=made.server) as server, pool_of(server.port, tls=tls) as pool:
        assert [b"a", b"b"] == [await ask(pool, b"a"), await ask(pool, b"b")]
        large = b"a" * 2 * 1_024 * 1_024
        assert large == await ask(pool, large)
        assert 1 == len(server.peers)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_an_encrypted_answer_that_is_cut_off_is_none(tmp_path: Path, reset: bool) -> None:
    """As a plain one; and an idle connection that ends is not used."""
    made = certificate(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(cafile=made.path)
    async with raw_server(tls=made.server) as server, pool_of(server.port, tls=tls) as pool:
        call = start(ask(pool))
        peer = await server.peer(0)
        await peer.request()
        await peer.send(answer(b"whole")[:-1])
        peer.end(reset=reset)
        with pytest.raises(ConnectionClosedError):
            await call

        server.script = echo
        assert b"a" == await ask(pool, b"a")
        server.peers[1].end(reset=reset)
        await until(lambda: not pool._open)
        assert b"b" == await ask(pool, b"b")


@pytest.mark.parametrize("fault", ["untrusted", "other name"])
async def test_a_server_that_is_somebody_else_is_sent_nothing(tmp_path: Path, fault: str) -> None:
    """Each call tries anew, and its place is free again."""
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        asked.append((await peer.request()).body)

    made = certificate(tmp_path, "127.0.0.1" if fault == "untrusted" else "other.example")
    trusted = None if fault == "untrusted" else made.path
    tls = ssl.create_default_context(cafile=trusted)
    async with (
        raw_server(script, tls=made.server) as server,
        pool_of(server.port, most=1, tls=tls) as pool,
    ):
        for _ in range(2):
            with pytest.raises(SSLError):
                await ask(pool)

    assert [] == asked


async def test_an_address_of_version_6_is_spoken_to(tmp_path: Path) -> None:
    """Plain, and with a certificate for it."""
    made = certificate(tmp_path, "::1")
    tls = ssl.create_default_context(cafile=made.path)
    for server_tls, own in ((None, None), (made.server, tls)):
        async with (
            raw_server(echo, host="::1", tls=server_tls) as server,
            pool_of(server.port, host="::1", tls=own) as pool,
        ):
            assert b"a" == await ask(pool, b"a")
