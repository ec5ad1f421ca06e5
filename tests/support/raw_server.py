"""A server on loopback that sends what a test tells it to, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: How long a test waits for what must happen.
SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    """What came: the request line, headers by names in lower case, and the body."""

    line: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        #: Set once the client, or this side, ended it.
        self.is_over = False

    async def request(self) -> Request:
        """The next request.

        Raises:
            EOFError, ConnectionError: The client ended the connection.
        """
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *rest = head.rstrip().split("\r\n")
            headers = {}
            for one in rest:
                name, _, value = one.partition(":")
                headers[name.lower()] = value.strip()
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except (EOFError, ConnectionError):
            self.is_over = True
            raise
        return Request(line, headers, body)

    async def send(self, data: bytes) -> None:
        """Send bytes, if the client still takes them."""
        if self._writer.transport.is_closing():
            return  # uvloop would say so by an error
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def over(self) -> None:
        """Return once the client ended the connection, whatever it sends until then."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(SECONDS):
                while await self._reader.read(65_536):
                    pass
        self.is_over = True

    def end(self, *, reset: bool = False) -> None:
        """End the connection: in order, or by a reset."""
        self.is_over = True
        if self._writer.transport.is_closing():
            return
        if reset:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._writer.transport.abort()
        else:
            self._writer.close()


Script = Callable[[Peer], Awaitable[None]]


class RawServer:
    """Takes connections; each is for `script`, or for the test, where there is none."""

    def __init__(self, script: Script | None) -> None:
        #: For connections that come from now on.
        self.script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.port = 0

    def open(self) -> int:
        """How many connections neither side ended, as far as this side knows."""
        return sum(not peer.is_over for peer in self.peers)

    async def peer(self, number: int) -> Peer:
        """A connection by its number, the first is 0, once it is there."""
        async with asyncio.timeout(SECONDS):
            while len(self.peers) <= number:  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.001)  # between two looks: the time-out ends the wait
        return self.peers[number]

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a connection."""
        peer = Peer(reader, writer)
        self.peers.append(peer)
        if self.script is not None:
            self.take_over(peer, self.script)

    def take_over(self, peer: Peer, script: Script) -> None:
        """Let a script have a connection from now on."""
        task = asyncio.ensure_future(self._run(script, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _run(script: Script, peer: Peer) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            await script(peer)
        peer.end()

    async def stop(self) -> None:
        """End every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer._writer.transport.abort()


@asynccontextmanager
async def raw_server(
    script: Script | None = None, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncGenerator[RawServer]:
    """A server on a free port."""
    server = RawServer(script)
    listening = await asyncio.start_server(
        server.take, host, 0, ssl=tls, limit=4_194_304, backlog=200
    )
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.stop()


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """An answer with a length; headers as they stand on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def answering(data: bytes) -> Script:
    """The same bytes for every request."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return script


async def echo(peer: Peer) -> None:
    """Answers every request with its body."""
    while True:
        await peer.send(answer((await peer.request()).body))


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that signed itself, and a server's context with it."""

    path: Path
    server: ssl.SSLContext


def certificate(folder: Path, *names: str) -> Certificate:
    """For these names or addresses; its files are in the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(own)
        .issuer_name(own)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path, key_path)
    return Certificate(path, server)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
