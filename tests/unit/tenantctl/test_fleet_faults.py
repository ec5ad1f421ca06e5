"""Many writers, and one that is killed anywhere."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.fleets import MakeFleet, a_tenant, writing
from support.git_server import GitServer, Origin
from tenantctl.check import Bounds, check
from tenantctl.files import tenant_path

pytestmark = pytest.mark.faults

WRITERS, TENANTS = 8, 50

#: Onboards `acme` in a process of its own.
_CHANGE = """
import asyncio, sys
from pathlib import Path
from support.fleets import MAY_CHANGE, a_tenant, writing
from tenantctl.fleet import Fleet
from tenantctl.git import Remote
fleet = Fleet(Remote(sys.argv[1]), may_change=MAY_CHANGE, cache=Path(sys.argv[2]))
asyncio.run(fleet.change(writing(a_tenant()), "Onboard acme"))
"""

#: A `git` that kills who called it, at the call whose number is in a file, and then goes on as
#: the orphan that it is, or ends without having done a thing.
_SHIM = """#!/bin/sh
if [ "$PPID" = "$(cat {folder}/victim)" ]; then
  echo >>{folder}/calls
  if [ "$(wc -l <{folder}/calls)" = "$(cat {folder}/kill-at)" ]; then
    kill -9 "$PPID"
    {then}
  fi
fi
exec {git} "$@"
"""


async def test_eight_writers_onboard_fifty_tenants(
    origin: Origin, fleet: MakeFleet, tmp_path: Path
) -> None:
    """Each with a clone of its own, at once: fifty tenants, fifty commits of one file each."""
    password = "a-password"
    credentials = tmp_path / "credentials"
    credentials.write_text(f"username=robot\npassword={password}\n")
    names = [f"tenant-{number}" for number in range(TENANTS)]
    left = iter(names)
    with GitServer(tmp_path / "srv", user="robot", password=password).running() as server:
        url = f"{server.url}/fleet.git"

        async def write(number: int) -> int:
            one = fleet(url, cache=f"cache-{number}", credentials=credentials, change_seconds=200)
            done = 0
            for name in left:
                change = await one.change(writing(a_tenant(name)), f"Onboard {name}")
                assert change is not None
                done += 1
            return done

        done = await asyncio.gather(*(write(number) for number in range(WRITERS)))
        snapshot = await fleet(url, credentials=credentials).snapshot()
    pushes = sum(path.endswith("git-receive-pack") for method, path, _ in server.requests)
    assert pushes > TENANTS, "nobody was ever overtaken"
    assert sum(done) == TENANTS
    commits = origin.commits()
    assert len(commits) == TENANTS + 1
    assert sorted(commits[:-1]) == sorted(
        (f"Onboard {name}", [tenant_path("dev", name)]) for name in names
    )
    assert check(snapshot, "dev", Bounds()) == ()


@pytest.mark.parametrize("then", [":", "exit 1"], ids=["git goes on", "git dies as well"])
async def test_killed_at_any_command_leaves_fleet_and_clone_usable(
    then: str, origin: Origin, fleet: MakeFleet, tmp_path: Path
) -> None:
    """SIGKILL at each of a change's commands: the same change again ends as if nothing was."""
    shim = tmp_path / "bin"
    shim.mkdir()
    real = shutil.which("git")
    (shim / "git").write_text(_SHIM.format(folder=shim, then=then, git=real))
    (shim / "git").chmod(0o755)
    begin = origin.head
    survived = 0
    for kill_at in range(1, 40):
        (shim / "kill-at").write_text(str(kill_at))
        (shim / "calls").write_text("")
        (shim / "victim").write_text("")
        cache = tmp_path / f"cache-{kill_at % 2}"  # an old clone, and whatever was left in it
        status = await asyncio.to_thread(_run, shim, origin, cache)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        survived += 1
        again = fleet(cache=cache.name)
        await again.change(writing(a_tenant()), "Onboard acme")
        assert tenant_path("dev", "acme") in origin.files()
        assert origin.commits()[0][0] == "Onboard acme"
        assert [subject for subject, _ in origin.commits()].count("Onboard acme") == 1
        head = origin.head
        assert await again.change(writing(a_tenant()), "Onboard acme") is None
        # Back to the beginning, which this machine accepts.
        origin.git("update-ref", "refs/heads/main", begin, head)
        for name in ("cache-0", "cache-1"):
            await fleet(cache=name).accept_rewrite(begin)
    assert survived >= 10


def _run(shim: Path, origin: Origin, cache: Path) -> int:
    """The child's status; the shim knows it by its process id before it starts a command."""
    folders = [str(Path(__file__).resolve().parents[2])]
    process = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"import os, sys; open({str(shim / 'victim')!r}, 'w').write(str(os.getpid()))\n"
            + _CHANGE,
            *(str(origin.folder), str(cache)),
        ],
        env={
            "PATH": f"{shim}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(folders),
            "HOME": str(shim),
        },
        stderr=subprocess.DEVNULL,
    )
    return process.wait(timeout=60)
