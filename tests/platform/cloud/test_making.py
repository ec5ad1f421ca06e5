"""`make environment`: its steps in their order, killed between any two commands, and run again."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from cloud.environments import ROOT, changed, write
from cloud.fake_account import ACCOUNT, STATE, Account, KilledError, thing
from tenantry_cloud import flux
from tenantry_cloud.making import Making
from tenantry_cloud.reading import read_environment
from tenantry_cloud.seeding import credentials_file
from tenantry_cloud.steps import CommandError, Done, RefusedError, Shell

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
#: What is done once, whoever is killed when.
ONCE: Final = [
    "apply",
    "create tenantry.git",
    "push tenantry.git",
    "create fleet.git",
    "push fleet.git",
    "facts",
    "protect platform/tenantry",
    "protect platform/fleet",
    "secret",
    "flux",
]


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """Of Gitea, as tenantctl has them, too."""
    path = tmp_path / "credentials"
    path.write_text("username=me\npassword=s3cret-t0ken\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def _make(account: Account, credentials: Path, *, is_agreed: bool = True) -> None:
    home = credentials.parent / "home"
    Making(account, DEV, lambda: credentials_file(str(credentials)), home, is_agreed).run()


def test_an_environment_is_made_in_this_order(credentials: Path) -> None:
    """Terraform, the repositories that facts are written into, then Flux, which reads them."""
    account = Account()

    _make(account, credentials)

    assert account.changes == ONCE
    fleet = account.repositories["https://gitea.example.com/platform/fleet.git"]
    source = account.repositories["https://gitea.example.com/platform/tenantry.git"]
    assert fleet == f"{'f' * 40}:refs/heads/main", "the folder platform/fleet, as its own history"
    assert source == f"{'c' * 40}:refs/heads/main"
    assert any("What next" in line for line in account.lines)


def test_made_again_nothing_is_changed(credentials: Path) -> None:
    """Each step asks what is there."""
    account = Account()
    _make(account, credentials)
    account.changes.clear()

    _make(account, credentials)

    assert account.changes == []
    assert any("Flux: done already" in line for line in account.lines)


def test_a_change_of_facts_goes_where_others_see_it(credentials: Path) -> None:
    """Once main takes no push: it is proposed, and the same command goes on when it is merged."""
    account = Account()
    _make(account, credentials)
    account.facts = False

    with pytest.raises(RefusedError, match="merge that, and run this again"):
        _make(account, credentials)

    account.facts = True
    _make(account, credentials)


def test_what_somebody_protected_otherwise_stays_and_is_told(credentials: Path) -> None:
    """More approvals and more checks are none of it."""
    account = Account()
    _make(account, credentials)
    rule = account.rules["platform/tenantry"]
    rule |= {"required_approvals": 2, "dismiss_stale_approvals": False}
    rule["status_check_contexts"] = ["another", *rule["status_check_contexts"]]
    before = dict(rule)

    _make(account, credentials)

    assert before == account.rules["platform/tenantry"]
    told = [line for line in account.lines if "left as somebody set it" in line]
    text = "  platform/tenantry: dismiss_stale_approvals is false, not true"
    assert [f"{text}; left as somebody set it"] == told


def _how_many(credentials: Path) -> int:
    account = Account()
    _make(account, credentials)
    return len(account.words)


def test_killed_anywhere_it_is_run_again_to_the_same_end(credentials: Path) -> None:
    """Before and after each command in turn: the next run ends as one that nobody disturbed."""
    undisturbed = Account()
    _make(undisturbed, credentials)
    kills = list(itertools.product(range(_how_many(credentials)), (True, False)))
    assert len(kills) > 40

    for kill_at, is_before in kills:
        account = Account(kill_at=kill_at, is_killed_before=is_before)
        with pytest.raises(KilledError):
            _make(account, credentials)
        account.kill_at = None
        _make(account, credentials)

        where = f"killed {'before' if is_before else 'after'} {undisturbed.words[kill_at]}"
        assert account.repositories == undisturbed.repositories, where
        assert account.cluster.keys() == undisturbed.cluster.keys(), where
        assert account.state == undisturbed.state, where
        # Flux that is not ready yet is applied anew, the same.
        changes = [one for one in account.changes if one != "flux"]
        assert [*changes, "flux"] == ONCE, where


@pytest.mark.parametrize("resources", range(len(STATE)))
def test_killed_while_terraform_makes_it_goes_on(credentials: Path, resources: int) -> None:
    """From what is in its state."""
    account = Account(kill_in=resources)
    with pytest.raises(KilledError):
        _make(account, credentials)
    assert len(account.state) == resources
    account.kill_in = None

    _make(account, credentials)

    assert account.state == STATE
    assert account.changes == ONCE


def test_no_secret_is_among_the_words_of_a_command(credentials: Path) -> None:
    """Who lists processes sees neither Gitea's token nor Flux's; nor do people who read along."""
    account = Account()

    _make(account, credentials)

    seen = " ".join([*itertools.chain.from_iterable(account.words), *account.lines])
    assert "t0ken" not in seen


def test_without_agreement_nothing_is_applied(credentials: Path) -> None:
    """The plan is shown, and a person says yes or it was nothing."""
    account = Account(answer="no")

    with pytest.raises(RefusedError, match="YES=1"):
        _make(account, credentials, is_agreed=False)

    assert account.changes == []
    assert "Plan: 3 to add" in account.lines


def test_another_account_is_refused(credentials: Path, tmp_path: Path) -> None:
    """Before Terraform is even started."""
    said = read_environment(write(tmp_path / "dev.tfvars", changed({"account": "999999999999"})))
    account = Account()

    with pytest.raises(RefusedError, match=rf"belongs to account 999999999999.*{ACCOUNT}"):
        Making(account, said, lambda: credentials, tmp_path).run()
    assert not [words for words in account.words if words[0] == "terraform" and len(words) > 2]


def test_without_a_bucket_the_command_that_makes_it_is_shown(credentials: Path) -> None:
    """State is never kept on a machine's disk."""
    with pytest.raises(RefusedError, match=r"aws cloudformation deploy .*tenantry-state"):
        _make(Account(has_bucket=False), credentials)


def test_missing_programs_are_named(credentials: Path) -> None:
    """All of them at once."""
    with pytest.raises(RefusedError, match="kubectl, helm: not installed"):
        _make(Account(missing=frozenset({"helm", "kubectl"})), credentials)


def test_a_secret_that_is_missing_is_asked_for(credentials: Path) -> None:
    """By its name, and with what has to be in it; once it was when all else had been made."""
    account = Account(has_secret=False)

    with pytest.raises(CommandError, match=r"dev/flux/git: lines username=…"):
        _make(account, credentials)

    assert account.changes == []


def test_credentials_are_asked_for_before_anything_is_made(credentials: Path) -> None:
    """Once it was when all else had been made."""
    credentials.chmod(0o644)
    account = Account()

    with pytest.raises(RefusedError, match="chmod 600"):
        _make(account, credentials)

    assert account.changes == []


def test_what_somebody_pushed_meanwhile_is_not_written_over(credentials: Path) -> None:
    """A repository that has the branch is left as it is."""
    url = "https://gitea.example.com/platform/fleet.git"
    account = Account(repositories={url: "theirs"}, created={"platform/fleet.git"})

    _make(account, credentials)

    assert account.repositories[url] == "theirs"
    assert "push tenantry.git" in account.changes


def test_what_never_gets_ready_is_named(credentials: Path) -> None:
    """Not waited for without an end; what is suspended is not waited for at all."""

    class Slow(Account):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            kind = "kustomizations.kustomize.toolkit.fluxcd.io"
            self.cluster[f"{kind}/shards"] = thing("shards")
            self.cluster[f"{kind}/control-plane"] = thing("control-plane", suspend=True)

    with pytest.raises(CommandError, match="not there after 1800 s: shards"):
        _make(Slow(), credentials)


def test_a_lock_that_was_left_is_explained(credentials: Path) -> None:
    """Terraform that was killed leaves it: its id, and the command that takes it away."""

    class Locked(Account):
        def _terraform(self, words: list[str], stdin: str) -> Done:
            if words[2] == "plan":
                return Done(
                    1, "", "Error acquiring the state lock\nLock Info:\n  ID:   4711-0815\n"
                )
            return super()._terraform(words, stdin)

    with pytest.raises(CommandError, match="force-unlock 4711-0815"):
        _make(Locked(), credentials)


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("username=me\npassword=x\n", 0o644, "chmod 600"),
        ("username=me\n", 0o600, "password="),
        (None, 0o600, "chmod 600"),
    ],
)
def test_credentials_that_do_not_fit_are_refused(
    tmp_path: Path, text: str | None, mode: int, says: str
) -> None:
    """Readable by others, incomplete, or not there."""
    path = tmp_path / "credentials"
    if text is not None:
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    with pytest.raises(RefusedError, match=says):
        credentials_file(str(path))


def test_flux_starts_on_the_tainted_nodes() -> None:
    """There are no others until Flux has installed what makes them."""
    everywhere, strict = flux.instance(DEV)["spec"]["kustomize"]["patches"]
    [change] = json.loads(everywhere["patch"])

    assert everywhere["target"] == {"kind": "Deployment"}
    assert "StrictPostBuildSubstitutions=true" in strict["patch"]
    assert change["value"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    assert json.loads(flux.operator_values())["tolerations"] == change["value"]
    assert flux.instance(DEV)["spec"]["distribution"]["version"] == DEV.addons["flux"].version
    assert flux.instance(DEV)["spec"]["sync"]["path"] == "clusters/dev"


def test_two_environments_of_a_checkout_share_no_folder(credentials: Path) -> None:
    """What Terraform was told of the one's state is not taken for the other's."""
    seen = []

    class Watching(Account):
        def run(self, words: Sequence[str], **how: Any) -> Done:
            if words[0] == "terraform" and len(words) > 2:
                seen.append(how["env"]["TF_DATA_DIR"])
            return super().run(words, **how)

    account = Watching()
    _make(account, credentials)

    assert {Path(folder).name for folder in seen} == {"dev.terraform"}
    assert all(f"home/{name}" in str(account.words) for name in ("dev.tfplan", "dev.kubeconfig"))


def test_a_program_that_is_not_there_is_a_status(tmp_path: Path) -> None:
    """As a shell has it; and what is given to a program arrives on its standard input."""
    shell = Shell(tmp_path)

    assert shell.run(["no-such-program"]) == Done(127, "", "no-such-program is not installed")
    assert shell.run(["cat"], stdin="given").out == "given"
    assert shell.run(["sh", "-c", "echo $X; exit 3"], env={"X": "1"}) == Done(3, "1\n", "")
