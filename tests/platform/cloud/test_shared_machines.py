"""What Gitea's machine and runners do when they start: their scripts, run in part.

Run as they are, in a folder of their own, with stand-ins in the place of what would change the
machine or ask AWS. A stand-in writes down how it was called and does what the test says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cloud.shared_root import TERRAFORM

MACHINES: Final = TERRAFORM / "modules" / "gitea" / "machines"

SETTINGS: Final = {
    "server": {
        "REGION": "eu-central-1",
        "DATA_VOLUME": "vol0123456789abcdef0",
        "GITEA_VERSION": "1.26.1",
        "GITEA_SHA256": "0" * 64,
        "GITEA_HOST": "gitea.example.com",
        "ORGANIZATION": "platform",
        "REPOSITORIES": "tenantry fleet",
        "RELEASE_REPOSITORY": "release/tenantry",
        "SECRET_PREFIX": "shared/gitea",
    },
    "runner": {
        "REGION": "eu-central-1",
        "KIND": "ci",
        "RUNNER_VERSION": "0.2.13",
        "RUNNER_SHA256": "0" * 64,
        "PACKAGES": "make gcc",
        "GITEA_URL": "https://gitea.example.com/",
        "TOKEN_SECRET": "shared/gitea/runner-ci",
        "STAYS": "0",
        "KUBECTL_VERSION": "1.36.4",
        "KUBECTL_SHA256": "1" * 64,
        "TERRAFORM_VERSION": "1.11.4",
        "TERRAFORM_SHA256": "2" * 64,
        "COSIGN_VERSION": "3.1.3",
        "COSIGN_SHA256": "3" * 64,
        "PROVIDER_VERSION": "5.100.0",
        "PROVIDER_SHA256_AMD64": "4" * 64,
        "PROVIDER_SHA256_ARM64": "5" * 64,
    },
}

#: Each logs its call; `does` of a test comes after that.
_STANDIN: Final = '#!/bin/bash\nprintf "%s\\n" "${0##*/} $*" >>"$LOG"\n'

#: What would change the machine: logged, and nothing else.
_HARMLESS: Final = (
    *("apt-get", "aws", "blkid", "chown", "curl", "dnf", "mkfs.xfs", "mount"),
    *("runuser", "sleep", "systemctl", "unzip", "useradd", "xfs_growfs"),
)


class Machine:
    """A folder that a script takes for the whole machine."""

    def __init__(self, folder: Path, kind: str, **settings: str) -> None:
        self.folder = folder
        self.kind = kind
        self.settings = SETTINGS[kind] | settings
        self.root = folder / "root"
        self.root.mkdir()
        self.log = folder / "log"
        self.log.touch()
        (folder / "bin").mkdir()
        for name in _HARMLESS:
            self.does(name, "")

    def does(self, command: str, script: str) -> None:
        """What a command does here."""
        path = self.folder / "bin" / command
        path.write_text(_STANDIN + script, encoding="utf-8")
        path.chmod(0o755)

    def run(self, call: str) -> subprocess.CompletedProcess[str]:
        """A function of the script, as its `main` would call it."""
        settings = "\n".join(f"readonly {name}='{value}'" for name, value in self.settings.items())
        script = f"set -euo pipefail\n{settings}\n"
        script += "".join(f". '{MACHINES / name}.sh'\n" for name in ("common", self.kind))
        return subprocess.run(
            ["bash", "-c", script + call],
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "TENANTRY_ROOT": str(self.root),
                "TENANTRY_PAUSE": "0",
                "LOG": str(self.log),
                "STATE": str(self.folder),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

    def called(self, *commands: str) -> list[str]:
        """The calls of some stand-ins, in their order."""
        lines = self.log.read_text("utf-8").splitlines()
        return [line for line in lines if line.split(" ", 1)[0] in commands]


@pytest.fixture
def server(tmp_path: Path) -> Machine:
    """Gitea's, with its volume attached."""
    machine = Machine(tmp_path, "server")
    volumes = machine.root / "dev/disk/by-id"
    volumes.mkdir(parents=True)
    (volumes / "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0").touch()
    (machine.root / "etc/systemd/system").mkdir(parents=True)
    return machine


@pytest.fixture
def runner(tmp_path: Path) -> Machine:
    """A runner for developers' repositories."""
    return Machine(tmp_path, "runner")


@pytest.mark.parametrize("kind", SETTINGS)
def test_scripts_are_clean(kind: str, tmp_path: Path) -> None:
    """For bash; and for shellcheck, where that is installed."""
    whole = tmp_path / f"{kind}.sh"
    text = "".join((MACHINES / f"{name}.sh").read_text("utf-8") for name in ("common", kind))
    whole.write_text(f"#!/bin/bash\n{text}", encoding="utf-8")

    subprocess.run(["bash", "-n", whole], check=True)
    if (shellcheck := shutil.which("shellcheck")) is not None:
        said = subprocess.run([shellcheck, whole], capture_output=True, text=True, check=False)
        assert said.stdout == ""


def test_a_program_that_is_another_is_not_installed(runner: Machine) -> None:
    """Whatever came, if its SHA-256 is not the one in the variables file."""
    runner.does("curl", 'while [[ "$1" != --output ]]; do shift; done; echo program >"$2"')
    good = hashlib.sha256(b"program\n").hexdigest()
    target = runner.root / "usr/local/bin/it"

    wrong = runner.run(f"fetch https://example.com/it {'0' * 64} '{target}'")
    assert wrong.returncode != 0
    assert "is another file" in wrong.stderr
    assert not target.exists()

    assert runner.run(f"fetch https://example.com/it {good} '{target}'").returncode == 0
    assert target.stat().st_mode & 0o777 == 0o755
    assert all("--proto =https" in call for call in runner.called("curl"))


def test_an_archive_that_is_another_is_not_unpacked(runner: Machine) -> None:
    """Before anything has read it."""
    runner.does("curl", 'while [[ "$1" != --output ]]; do shift; done; echo archive >"$2"')
    good = hashlib.sha256(b"archive\n").hexdigest()
    target = runner.root / "opt/it"

    wrong = runner.run(f"unpack https://example.com/it {'0' * 64} '{target}' it")
    assert wrong.returncode != 0
    assert "is another file" in wrong.stderr
    assert [] == runner.called("unzip")

    assert runner.run(f"unpack https://example.com/it {good} '{target}' it").returncode == 0
    [call] = runner.called("unzip")
    assert call.endswith(f" it -d {target}")


@pytest.mark.parametrize(
    ("status", "formatted", "mounted"),
    [(2, True, True), (0, False, True), (4, False, False)],
    ids=["empty", "with data", "unreadable"],
)
def test_only_an_empty_volume_is_formatted(
    status: int, formatted: bool, mounted: bool, server: Machine
) -> None:
    """One that cannot be read is not taken for empty: then there is no Gitea."""
    server.does("blkid", f"exit {status}")

    said = server.run("mount_data")

    assert (said.returncode == 0) is mounted
    assert bool(server.called("mkfs.xfs")) is formatted
    assert bool(server.called("mount")) is mounted
    assert not [call for call in server.called("mkfs.xfs") if "-f" in call.split()]


def test_without_its_volume_there_is_no_gitea(server: Machine) -> None:
    """Rather than an empty one on the machine's own disk."""
    shutil.rmtree(server.root / "dev")
    server.does("sleep", "")

    said = server.run('SECONDS=0; wait_for() { "${@:3}" || fail "$2: not in time"; }; mount_data')

    assert said.returncode != 0
    assert "vol0123456789abcdef0: not in time" in said.stderr
    assert [] == server.called("mount", "mkfs.xfs")


def test_the_second_machine_keeps_the_firsts_secrets(server: Machine) -> None:
    """With others, nothing that Gitea encrypted could be read again."""
    server.does("runuser", 'echo "made-of-$RANDOM$RANDOM"')
    server.does("install", 'mkdir -p "${@: -1}"')
    secrets = server.root / "var/lib/gitea/secrets"

    assert server.run("make_secrets").returncode == 0
    first = {path.name: path.read_text("utf-8") for path in secrets.iterdir()}
    assert {"SECRET_KEY", "INTERNAL_TOKEN", "JWT_SECRET", "LFS_JWT_SECRET"} == set(first)
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o600}

    assert server.run("make_secrets").returncode == 0
    assert first == {path.name: path.read_text("utf-8") for path in secrets.iterdir()}


#: Gitea's command line and AWS, as far as the administrator and the tokens need them. What is said
#: to be secret must come by a file or by standard input.
_RUNUSER: Final = """
case "$*" in
  *"user list"*) [[ ! -f "$STATE/user" ]] || echo "1 operator operator@gitea.example.com true" ;;
  *"user create"*) touch "$STATE/user" ;;
  *generate-access-token*) echo access-token ;;
  *generate-runner-token*) echo "registers-${*: -1}" ;;
esac
"""
_AWS: Final = """
name=; value=
while (($#)); do
  case "$1" in
    get-secret-value|put-secret-value) what=$1 ;;
    --secret-id) name=${2//\\//-} ;;
    --secret-string) value=$(cat "${2#file://}") ;;
  esac
  shift
done
case "$what" in
  put-secret-value) printf '%s' "$value" >"$STATE/secret-$name" ;;
  get-secret-value)
    [[ -f "$STATE/secret-$name" ]] || { echo "(ResourceNotFoundException)" >&2; exit 254; }
    cat "$STATE/secret-$name"
    echo ;;
esac
"""
_CURL: Final = r"""
body=$(cat) credentials= method= path=${*: -1}
path=${path#*/api/v1}
while (($#)); do
  case "$1" in
    --config) credentials=$(cat "$2") ;;
    --request) method=$2 ;;
  esac
  shift
done
echo "$method $path" >>"$STATE/api"
told() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p" <<<"$body"; }
touched() { mkdir -p "$STATE/made$1" && printf 201; }
if [[ "$method" == PATCH && "$credentials" == *"token access-token"* ]]; then
  told password | tr -d '\n' >"$STATE/password"
  printf 200
elif [[ "$credentials" != "user = \"operator:$(cat "$STATE/password" 2>&1)\"" ]]; then
  printf 401
else
  case "$method $path" in
    "GET /user") printf 200 ;;
    "GET "*) if [[ -d "$STATE/made$path" ]]; then printf 200; else printf 404; fi ;;
    "DELETE "*) printf 204 ;;
    "POST /orgs") touched "/orgs/$(told username)" ;;
    "POST "*) path=${path%/repos} && touched "/repos/${path#/orgs/}/$(told name)" ;;
  esac
fi
"""

_HAND_OUT: Final = "make_administrator; make_repositories; hand_out_tokens"


@pytest.fixture
def gitea(server: Machine) -> Machine:
    """A machine on which Gitea answers."""
    server.does("runuser", _RUNUSER)
    server.does("aws", _AWS)
    server.does("curl", _CURL)
    return server


def secret(machine: Machine, name: str) -> str:
    return (machine.folder / f"secret-shared-gitea-{name}").read_text("utf-8")


def test_the_server_makes_its_secrets_itself(gitea: Machine) -> None:
    """Administrator and registrations, put into Secrets Manager; no argument holds one."""
    said = gitea.run(_HAND_OUT)

    assert said.returncode == 0, said.stderr
    password = (gitea.folder / "password").read_text("utf-8")
    assert len(password) >= 40
    assert f'"password": "{password}"' in secret(gitea, "admin")
    assert secret(gitea, "runner-ci") == "registers-platform"
    assert secret(gitea, "runner-release") == "registers-release/tenantry"
    calls = gitea.log.read_text("utf-8")
    assert not [one for one in (password, "access-token:", "registers-") if one in calls]
    assert password not in said.stdout + said.stderr


def test_repositories_are_made_once(gitea: Machine) -> None:
    """The second machine makes nothing, and the administrator keeps the password."""
    assert gitea.run(_HAND_OUT).returncode == 0
    before = secret(gitea, "admin")
    first = (gitea.folder / "api").read_text("utf-8")
    (gitea.folder / "api").write_text("", encoding="utf-8")
    puts = [call for call in gitea.called("aws") if "put-secret-value" in call]

    assert gitea.run(_HAND_OUT).returncode == 0

    assert 5 == first.count("POST ")  # two organisations, three repositories
    assert "POST " not in (gitea.folder / "api").read_text("utf-8")
    assert before == secret(gitea, "admin")
    assert puts == [call for call in gitea.called("aws") if "put-secret-value" in call]


@pytest.mark.parametrize("lost", ["secret", "password"])
def test_a_secret_that_does_not_let_in_is_made_anew(lost: str, gitea: Machine) -> None:
    """Deleted, or true no more: after a crash between the two, or a snapshot that was restored."""
    assert gitea.run(_HAND_OUT).returncode == 0
    before = secret(gitea, "admin")
    if lost == "secret":
        (gitea.folder / "secret-shared-gitea-admin").unlink()
    else:
        (gitea.folder / "password").write_text("another", encoding="utf-8")

    assert gitea.run(_HAND_OUT).returncode == 0

    assert before != secret(gitea, "admin")
    assert (gitea.folder / "password").read_text("utf-8") in secret(gitea, "admin")


#: The metadata service answers as long as it is on, and AWS as long as the role is there.
_METADATA: Final = """
[[ -f "$STATE/metadata-off" ]] && exit 7
echo i-0123456789abcdef0
"""
_ROLE: Final = """
case "$*" in
  *get-secret-value*) echo a-registration ;;
  *export-credentials*) echo "export AWS_ACCESS_KEY_ID=taken" ;;
  *describe-iam-instance-profile-associations*) echo iip-assoc-1 ;;
  *modify-instance-metadata-options*) touch "$STATE/metadata-off" ;;
  *get-caller-identity*) [[ ! -f "$STATE/metadata-off" || -n "${AWS_ACCESS_KEY_ID:-}" ]] ;;
esac
"""
_ACT_RUNNER: Final = """
if [[ "$*" == *" register "* ]]; then
  cat >"$STATE/asked"
  mkdir -p "$TENANTRY_ROOT/srv/runner"
  [[ ! -e "$TENANTRY_ROOT/srv/runner/.runner" ]] || echo "register: there is one" >>"$LOG"
  echo {} >"$TENANTRY_ROOT/srv/runner/.runner"
fi
"""


@pytest.fixture
def starting(runner: Machine) -> Machine:
    """A runner that starts: what it downloads is as it is to be."""
    runner.does("curl", _METADATA)
    runner.does("aws", _ROLE)
    runner.does("runuser", _ACT_RUNNER)
    return runner


@pytest.fixture
def release(tmp_path: Path) -> Machine:
    """One that may publish, of Debian."""
    machine = Machine(
        tmp_path, "runner", KIND="release", TOKEN_SECRET="shared/gitea/runner-release", STAYS="100"
    )
    machine.does("aws", _ROLE)
    machine.does("runuser", _ACT_RUNNER)
    (machine.root / "etc/apt/mirrors").mkdir(parents=True)
    return machine


#: What is downloaded is logged by where it is from and by its SHA-256, and is empty.
_WHOLE: Final = 'download() { echo "download $1 $2" >>"$LOG"; }; main'
#: A job takes a minute here.
_MINUTES: Final = (
    'run() { echo "job $(ls -A "$root/srv/runner")" >>"$LOG"; SECONDS=$((SECONDS + 60)); }; '
)


def test_ci_is_without_role_and_metadata_before_it_registers(starting: Machine) -> None:
    """So a job finds neither, whatever its workflow says; and powers off when it has ended."""
    said = starting.run(_WHOLE)

    assert said.returncode == 0, said.stderr
    steps = [
        word
        for call in starting.called("aws", "runuser", "systemctl")
        for word in (
            *("amazon-ssm-agent", "get-secret-value", "modify-instance-metadata-options"),
            *("disassociate-iam-instance-profile", "get-caller-identity"),
            *("register", "daemon", "poweroff"),
        )
        if word in call.split()
    ]
    assert steps == [
        *("amazon-ssm-agent", "get-secret-value", "modify-instance-metadata-options"),
        *("disassociate-iam-instance-profile", "get-caller-identity"),
        *("register", "daemon", "poweroff"),
    ]
    [job] = [call for call in starting.called("runuser") if call.endswith("daemon")]
    assert "env --ignore-environment" in job


def test_a_registration_is_for_one_job_and_no_argument_holds_it(starting: Machine) -> None:
    """Its answers: where, with what, as whom, for which label."""
    assert starting.run(_WHOLE).returncode == 0

    url, token, _, label = (starting.folder / "asked").read_text("utf-8").splitlines()
    assert (url, token, label) == ("https://gitea.example.com/", "a-registration", "ci:host")
    [call] = [call for call in starting.called("runuser") if "register" in call.split()]
    assert "--ephemeral" in call
    assert "a-registration" not in starting.log.read_text("utf-8")


@pytest.mark.parametrize("stays", ["metadata", "role"])
def test_ci_that_keeps_anything_takes_no_job(stays: str, starting: Machine) -> None:
    """It powers off, and another machine is made."""
    if stays == "metadata":
        starting.does("aws", _ROLE.replace('touch "$STATE/metadata-off"', ":"))
    else:
        starting.does("aws", _ROLE + "\nexit 0")

    said = starting.run('wait_for() { "${@:3}" || fail "$2: not in time"; }; ' + _WHOLE)

    assert said.returncode != 0
    assert not [call for call in starting.called("runuser") if "act_runner" in call]
    assert starting.called("systemctl")[-1] == "systemctl poweroff"


def test_ci_has_what_its_workflows_call(starting: Machine) -> None:
    """No package has kubectl or Terraform: each comes by its own SHA-256."""
    assert starting.run(_WHOLE).returncode == 0

    assert {"0" * 64, "1" * 64, "2" * 64} == {
        call.split()[-1] for call in starting.called("download")
    }
    programs = starting.root / "usr/local/bin"
    assert {"act_runner", "kubectl"} == {path.name for path in programs.iterdir()}
    [call] = starting.called("unzip")
    assert call.endswith(f" terraform -d {programs}")
    [call] = starting.called("dnf")
    assert call.endswith(" git unzip make gcc")


def test_release_has_what_its_workflow_calls(release: Machine) -> None:
    """cosign, and providers where and as `make images` looks for them, for both platforms."""
    assert release.run(_MINUTES + _WHOLE).returncode == 0

    downloads = dict(call.split()[1:] for call in release.called("download"))
    assert {"0" * 64, "3" * 64, "4" * 64, "5" * 64} == {*downloads.values()}
    for platform, digit in (("amd64", "4"), ("arm64", "5")):
        [where] = [one for one in downloads if one.endswith(f"_5.100.0_linux_{platform}.zip")]
        assert digit * 64 == downloads[where]
        folder = release.root / "opt/providers"
        [found] = folder.glob(f"*/hashicorp/aws/*/linux_{platform}")
        assert "5.100.0" == found.parent.name
        assert [call for call in release.called("unzip") if call.endswith(f" -d {found}")]
    assert (release.root / "usr/local/bin/cosign").stat().st_mode & 0o777 == 0o755
    assert "install --yes" in release.called("apt-get")[-1]
    assert release.called("apt-get")[-1].endswith(" git unzip make gcc")
    assert [] == release.called("dnf", "useradd")


def test_release_fetches_packages_by_https(release: Machine) -> None:
    """Nothing else is let out, and an image may name its mirrors otherwise."""
    mirrors = release.root / "etc/apt/mirrors/debian.list"
    mirrors.write_text("http://mirror.example.com/debian\nhttps://other.example.com/\n", "utf-8")

    assert release.run(_MINUTES + _WHOLE).returncode == 0

    there = mirrors.read_text("utf-8")
    assert there == "https://mirror.example.com/debian\nhttps://other.example.com/\n"


def test_release_keeps_its_role(release: Machine) -> None:
    """It pushes and signs with it, in its region; its registration is for the one repository."""
    release.does("runuser", _ACT_RUNNER + '[[ "$*" != *" daemon" ]] || exit 1')

    release.run(_WHOLE)

    assert ["aws"] == [call.split()[0] for call in release.called("aws")]
    asked = (release.folder / "asked").read_text("utf-8")
    assert asked.splitlines()[-1] == "release:host"
    [job] = [call for call in release.called("runuser") if call.endswith("daemon")]
    assert "runuser -u root -- env --ignore-environment" in job
    assert " AWS_REGION=eu-central-1 " in job


def test_ci_is_nobody_and_told_nothing_of_aws(starting: Machine) -> None:
    """A job is not root there, and finds no region."""
    assert starting.run(_WHOLE).returncode == 0

    [job] = [call for call in starting.called("runuser") if call.endswith("daemon")]
    assert "runuser -u runner -- env --ignore-environment" in job
    assert "AWS" not in job


def test_release_stays_for_many_jobs(release: Machine) -> None:
    """Each by a registration of its own; until it has been there for long, and no longer."""
    said = release.run(_MINUTES + _WHOLE)

    assert said.returncode == 0, said.stderr
    assert 2 == len(release.called("job"))
    registrations = [call for call in release.called("runuser") if "register" in call.split()]
    assert 2 == len(registrations)
    assert all("--ephemeral" in call for call in registrations)
    assert ["systemctl poweroff"] == release.called("systemctl")


def test_a_job_of_release_finds_nothing_of_the_one_before(release: Machine) -> None:
    """Neither files nor registration; what pip fetched stays, as hashes decide about it."""
    job = r"""
if [[ "$*" == *" daemon" ]]; then
  cd "$TENANTRY_ROOT/srv/runner"
  find . -type f ! -name .runner -printf 'found %P\n' >>"$LOG"
  mkdir -p work/1 .docker .cache/act .cache/pip
  touch work/1/token .bashrc .docker/config.json .cache/act/token .cache/pip/wheel
  [[ $(grep --count 'daemon$' "$LOG") -lt 3 ]]
fi
"""
    release.does("runuser", _ACT_RUNNER + job)

    said = release.run(_WHOLE)

    assert "status 1" in said.stdout, said.stderr
    assert ["found .cache/pip/wheel"] * 2 == release.called("found")
    assert [] == release.called("register:")
    assert ["systemctl poweroff"] == release.called("systemctl")


def test_a_registration_that_is_refused_ends_the_machine(starting: Machine) -> None:
    """act_runner says so and exits with zero: what it would have written is looked for."""
    starting.does("runuser", "cat >/dev/null || true")

    said = starting.run(_WHOLE)

    assert said.returncode != 0
    assert "does not take the registration" in said.stderr
    assert not [call for call in starting.called("runuser") if call.endswith("daemon")]
    assert starting.called("systemctl")[-1] == "systemctl poweroff"
