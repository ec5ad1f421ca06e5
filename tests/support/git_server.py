"""Git repositories for tests: on disk, and behind HTTP with a password and faults.

The server is Git's own `http-backend`, so what is asked, refused and taken is Git's; only the
faults are ours, and each is counted when it strikes.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Literal

#: hang: never answer. drop: end the connection before Git sees the request. reset: end it in the
#: middle of the answer. lose: let Git do it all, and end the connection instead of answering.
Fault = Literal["hang", "drop", "reset", "lose", "redirect", "unavailable"]
Step = Literal["refs", "fetch", "push"]

_RESET: Final = struct.pack("ii", 1, 0)
_PERSON: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Somebody"), ("EMAIL", "somebody@localhost"))
}


class Origin:
    """A bare repository that a fleet is in, as its server has it."""

    def __init__(self, folder: Path, files: Mapping[str, bytes] | None = None) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(folder))
        self.git("config", "http.receivepack", "true")
        self.commit({"README.md": b"A fleet.\n", **(files or {})}, "Begin")

    def git(self, *arguments: str, stdin: bytes = b"", index: Path | None = None) -> str:
        """What a command prints; it has to succeed."""
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_DIR": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **_PERSON,
        }
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        done = subprocess.run(
            ["git", *arguments], input=stdin, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, f"git {arguments}: {done.stderr.decode()}"
        return done.stdout.decode().rstrip("\n")

    @property
    def head(self) -> str:
        """The commit that main holds."""
        return self.git("rev-parse", "refs/heads/main")

    def commit(
        self,
        changes: Mapping[str, bytes | None],
        subject: str,
        *,
        parent: str | None = None,
        mode: str = "100644",
    ) -> str:
        """Have main hold a commit on top of what it holds, or of another parent."""
        index = self.folder / "test-index"
        index.unlink(missing_ok=True)
        if parent is None and (self.folder / "refs/heads/main").exists():
            parent = self.head
        if parent is not None:
            self.git("read-tree", parent, index=index)
        gone = [path for path, data in changes.items() if data is None]
        lines = [f"0 {'0' * 40}\t{path}\0" for path in gone]
        with tempfile.TemporaryDirectory() as folder:
            there = [path for path in changes if path not in gone]
            for number, path in enumerate(there):
                (Path(folder) / str(number)).write_bytes(changes[path] or b"")
            names = "".join(f"{folder}/{number}\n" for number in range(len(there)))
            blobs = self.git("hash-object", "-w", "--stdin-paths", stdin=names.encode())
        pairs = zip(blobs.splitlines(), there, strict=True)
        lines += [f"{mode} {blob}\t{path}\0" for blob, path in pairs]
        self.git("update-index", "-z", "--index-info", stdin="".join(lines).encode(), index=index)
        tree = self.git("write-tree", index=index)
        parents = () if parent is None else ("-p", parent)
        commit = self.git("commit-tree", tree, *parents, "-m", subject)
        self.git("update-ref", "refs/heads/main", commit)
        return commit

    def files(self, commit: str = "refs/heads/main") -> list[str]:
        """The paths that a commit holds."""
        return self.git("ls-tree", "-r", "--name-only", commit).splitlines()

    def read(self, path: str) -> str:
        """What a file holds on main, but for its last line's end."""
        return self.git("cat-file", "blob", f"refs/heads/main:{path}")

    def commits(self) -> list[tuple[str, list[str]]]:
        """Every commit's subject and the paths that it touched, the newest first."""
        out = self.git("log", "--format=%x01%s", "--name-only", "refs/heads/main")
        parts = (part.splitlines() for part in out.split("\1")[1:])
        return [(lines[0], [line for line in lines[1:] if line]) for lines in parts]

    def hook(self, script: str) -> None:
        """Have a script look at every push before it is taken."""
        path = self.folder / "hooks" / "pre-receive"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


class GitServer:
    """Serves the repositories of a folder on loopback."""

    def __init__(self, root: Path, *, user: str | None = None, password: str = "") -> None:
        self.root = root
        self.delay_seconds = 0.0
        #: Every request: method, path with query, and whether it brought a password.
        self.requests: list[tuple[str, str, bool]] = []
        #: How often each fault struck.
        self.felt: Counter[Fault] = Counter()
        #: Is called with the step before Git sees a request.
        self.before: Callable[[Step], None] = lambda _: None
        self.closing = threading.Event()
        self._faults: dict[Step, deque[Fault]] = {
            "refs": deque(),
            "fetch": deque(),
            "push": deque(),
        }
        self.authorization: str | None = None
        if user is not None:
            basic = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.authorization = f"Basic {basic}"
        outer = self

        class Handler(_Handler):
            server_of_git = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, step: Step, fault: Fault, *, times: int = 1) -> None:
        """Have the next requests of a step meet a fault."""
        self._faults[step].extend([fault] * times)

    def fault_of(self, step: Step) -> Fault | None:
        """The fault that a request meets."""
        try:
            fault = self._faults[step].popleft()
        except IndexError:
            return None
        self.felt[fault] += 1
        return fault

    @contextmanager
    def running(self) -> Generator[GitServer]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of_git: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""

    def _serve(self) -> None:
        outer = self.server_of_git
        body = self.rfile.read(int(self.headers.get("content-length") or "0"))
        authorization = self.headers.get("authorization")
        outer.requests.append((self.command, self.path, authorization is not None))
        if outer.authorization is not None and authorization != outer.authorization:
            self._answer("401 Unauthorized", {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        path = self.path.partition("?")[0]
        step: Step = "refs"
        if self.command == "POST":
            step = "push" if path.endswith("git-receive-pack") else "fetch"
        outer.before(step)
        fault = outer.fault_of(step)
        time.sleep(outer.delay_seconds)
        if fault == "hang":
            outer.closing.wait()
        if fault in {"hang", "drop"}:
            self._reset()
        elif fault == "redirect":
            self._answer(
                "302 Found", {"Location": f"http://localhost:{outer.port}{self.path}"}, b""
            )
        elif fault == "unavailable":
            self._answer("503 Service Unavailable", {}, b"")
        else:
            head, answer = self._backend(body)
            status = head.pop("Status", "200 OK")
            if fault == "lose":
                self._reset()
            elif fault == "reset":
                self._answer(status, head, answer, sent=len(answer) // 2)
                self._reset()
            else:
                self._answer(status, head, answer)

    def _backend(self, body: bytes) -> tuple[dict[str, str], bytes]:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server_of_git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n") if line)
        return {name: value for name, _, value in lines}, answer

    def _answer(
        self, status: str, head: Mapping[str, str], body: bytes, *, sent: int | None = None
    ) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()
