"""Gitea's runner, which cannot be had: its protocol, with nektos/act as what runs a job.

Honours, as the original: it registers with a token for an organisation or a repository and under
labels, asks Gitea for one job at a time, runs it on the machine, and tells Gitea its log and how
it ended; Gitea makes the job's token, context and secrets, chooses by label and scope, tells the
commit's status. The original uses a fork of the same engine.
Does not: cancel, tell of each step, renew anything, keep more than one job's folder.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

#: What a job of the original has of the machine: programs, and how pip, Go, Terraform find more.
_KEPT = ("PATH", "PIP_", "SSL_", "TF_", "XDG_CACHE_HOME", "GOFLAGS")


@dataclass
class Job:
    """A job that was run.

    Attributes:
        event: Why: `push`, `pull_request`, `workflow_dispatch`.
    """

    repository: str
    event: str
    has_succeeded: bool
    log: str


@dataclass
class Runner:
    """A machine that runs jobs of one label.

    Attributes:
        env: What its jobs have beside.
    """

    url: str
    label: str
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def register(self, token: str) -> None:
        """For what the token is of."""
        wanted = {"name": self.label, "token": token, "version": "1", "labels": [self.label]}
        found = self._call("Register", wanted)["runner"]
        self._said = {"x-runner-uuid": found["uuid"], "x-runner-token": found["token"]}
        self._call("Declare", {"version": "1", "labels": [self.label]})

    def run_one(self) -> Job | None:
        """The next job of its label; None where there is none."""
        task = self._call("FetchTask", {"tasksVersion": "0"}).get("task")
        if not task:
            return None
        begun = _now()
        self._call("UpdateTask", {"state": {"id": task["id"], "startedAt": begun}})
        with tempfile.TemporaryDirectory(prefix="job-", dir=self.folder) as scratch:
            status, log = self._act(Path(scratch), task)
        rows = [{"time": _now(), "content": line} for line in log.splitlines()]
        self._call("UpdateLog", {"taskId": task["id"], "index": "0", "rows": rows, "noMore": True})
        result = "RESULT_SUCCESS" if status == 0 else "RESULT_FAILURE"
        state = {"id": task["id"], "result": result, "startedAt": begun, "stoppedAt": _now()}
        self._call("UpdateTask", {"state": state})
        context = task["context"]
        return Job(context["repository"], context["event_name"], status == 0, log)

    def _act(self, folder: Path, task: dict[str, Any]) -> tuple[int, str]:
        context = task["context"]
        repository = folder / "repository/.gitea/workflows"
        repository.mkdir(parents=True)
        (repository / "job.yaml").write_bytes(base64.b64decode(task["workflowPayload"]))
        (folder / "event.json").write_text(json.dumps(context["event"]), "utf-8")
        told = {
            "GITHUB_REPOSITORY": context["repository"],
            "GITHUB_SERVER_URL": context["server_url"],
            "GITHUB_API_URL": context["api_url"],
            "GITHUB_RUN_ID": context["run_id"],
            "GITHUB_RUN_NUMBER": context["run_number"],
            "GITHUB_REF": context["ref"],
            "SHA_REF": context["sha"],
        }
        for name, values in (
            ("env", told),
            ("secrets", task.get("secrets") or {}),
            ("vars", task.get("vars") or {}),
        ):
            lines = [f"{key}={json.dumps(value)}\n" for key, value in values.items()]
            path = folder / name
            path.touch(mode=0o600)
            path.write_text("".join(lines), "utf-8")
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "act"), context["event_name"]),
                *("-C", str(folder / "repository"), "-W", ".gitea/workflows/job.yaml"),
                *("-P", f"{self.label}=-self-hosted", "--eventpath", str(folder / "event.json")),
                *("--actor", context["actor"], "--secret-file", str(folder / "secrets")),
                *("--env-file", str(folder / "env"), "--var-file", str(folder / "vars")),
                *("--input-file", os.devnull, "--no-cache-server"),
                *("--action-cache-path", str(folder / "work"), "--rm"),
            ],
            env={
                **{name: value for name, value in os.environ.items() if name.startswith(_KEPT)},
                "HOME": str(folder),
                "ACT_DISABLE_VERSION_CHECK": "1",
                "GIT_PAGER": "cat",
                "TERM": "dumb",
                **self.env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _call(self, name: str, body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/actions/runner.v1.RunnerService/{name}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **self._said},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
            raise AssertionError(f"{name}: HTTP {error.code} {said}") from None


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
