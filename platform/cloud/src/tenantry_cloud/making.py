"""`make environment`: an environment from its variables file. Interrupted, it is run again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenantry_cloud import bootstrap, flux
from tenantry_cloud.model import Environment
from tenantry_cloud.root import Root
from tenantry_cloud.seeding import CODE_MAIN, FLEET_MAIN, Forge, Protection, differences
from tenantry_cloud.steps import NOT_INSTALLED, RefusedError, Step, World, output, wait, work

#: Seconds that Flux may take: nodes of Karpenter's, and every add-on.
_FLUX_SECONDS: Final = 1_800
_TOOLS: Final = ("terraform", "aws", "git", "kubectl", "helm", "curl")


@dataclass(frozen=True, slots=True)
class Making:
    """What it takes to make an environment.

    Attributes:
        credentials: Of Gitea, when they are asked for.
        home: A folder of this checkout's own, for contexts and kubeconfigs.
        is_agreed: Changes that Terraform plans are applied without a question.
    """

    world: World
    said: Environment
    credentials: Callable[[], Path]
    home: Path
    is_agreed: bool = False

    @property
    def kubeconfig(self) -> Path:
        """Of this environment's cluster, and of no other."""
        return self.home / f"{self.said.environment}.kubeconfig"

    def run(self) -> None:
        """Make it."""
        work(self.world, self.steps())
        for line in what_next(self.said, self.home):
            self.world.say(line)

    def steps(self) -> list[Step]:
        """All that there is to do, in its order."""
        said, commands = self.said, self.world.commands
        root = Root(commands, said, self.home)
        return [
            Step("programs and account", _never, lambda: _check(self.world, root)),
            Step("what it takes to sign in to Git", _never, self._ask_first),
            Step("bucket of the state", root.has_bucket, lambda: _no_bucket(said)),
            Step("Terraform, from the state", _never, root.init),
            Step("network, cluster, identity, queues", _never, lambda: self._terraform(root)),
            Step("kubeconfig", _never, self._kubeconfig),
            *(
                Step(f"repository {repository}", *self._seeding(repository, tree))
                for repository, tree in ((said.git.source, ""), (said.git.fleet, "platform/fleet"))
            ),
            Step("facts of the fleet", _never, lambda: self._facts(root)),
            *(
                Step(f"protection of {repository}", *self._protecting(repository, wanted))
                for repository, wanted in (
                    (said.git.source, CODE_MAIN),
                    (said.git.fleet, FLEET_MAIN),
                )
            ),
            Step("Flux's Secret for Git", self._has_secret, self._secret),
            Step("Flux", self._has_flux, self._flux),
            Step("everything that Flux follows", _never, self._wait),
        ]

    def _ask_first(self) -> None:
        """Of what is needed later: not when half an hour has gone, and money with it."""
        self.credentials()
        self._git_secret()

    def _terraform(self, root: Root) -> None:
        planned = root.plan()
        if not planned:
            self.world.say("  nothing to change")
            return
        self.world.say(planned)
        if not self.is_agreed and self.world.ask("Apply this? (yes/no)") != "yes":
            raise RefusedError("Nothing was applied. YES=1 agrees beforehand.")
        root.apply()

    def _kubeconfig(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        output(
            self.world.commands,
            *("aws", "eks", "update-kubeconfig", "--name", self.said.environment),
            *("--region", self.said.region, "--kubeconfig", str(self.kubeconfig)),
        )

    def _forge(self) -> Forge:
        return Forge(self.world.commands, self.said.git, self.credentials())

    def _seeding(
        self, repository: str, tree: str
    ) -> tuple[Callable[[], bool], Callable[[], None]]:
        def seed() -> None:
            forge = self._forge()
            forge.create(repository)
            forge.push(repository, tree)

        return lambda: self._forge().has(repository), seed

    def _protecting(
        self, repository: str, wanted: Protection
    ) -> tuple[Callable[[], bool], Callable[[], None]]:
        """Where somebody set something else, it stays, and is told."""

        def is_protected() -> bool:
            rule = self._forge().rule(repository)
            if rule is None:
                return False
            for difference in differences(rule, wanted, self.said.git.branch):
                self.world.say(f"  {repository}: {difference}; left as somebody set it")
            return True

        return is_protected, lambda: self._forge().protect(repository, wanted)

    def _facts(self, root: Root) -> None:
        rule = self._forge().rule(self.said.git.fleet)
        is_open = rule is None or rule.get("enable_push") is True
        contexts = self.home / "contexts"
        contexts.mkdir(parents=True, exist_ok=True)
        name = self.said.environment
        (contexts / f"{name}.toml").write_text(
            context(self.said, self.kubeconfig, self.credentials()), encoding="utf-8"
        )
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "facts.json"
            outputs = {key: root.output(key) for key in ("facts", "context", "cluster")}
            file.write_text(json.dumps(outputs), encoding="utf-8")
            said = output(
                self.world.commands,
                *("tenantctl", "facts", str(file), "--context", name),
                *(() if is_open else ("--pull-request",)),
                env={"TENANTCTL_CONTEXTS": str(contexts)},
            )
        self.world.say(f"  {said.strip()}")
        if "is proposed" in said:
            raise RefusedError("Flux reads main: merge that, and run this again.")

    def _kubectl(self, *words: str, stdin: str = "") -> str:
        return output(
            self.world.commands, "kubectl", f"--kubeconfig={self.kubeconfig}", *words, stdin=stdin
        )

    def _has_secret(self) -> bool:
        found = self._kubectl(
            *("get", "secrets", "--namespace", flux.NAMESPACE, "--output=name"),
            "--ignore-not-found",
        )
        return f"secret/{flux.NAMESPACE}" in found.split()

    def _git_secret(self) -> tuple[str, str]:
        """What Flux reads the fleet with: a name, and a password."""
        name = f"{self.said.environment}/flux/git"
        text = output(
            self.world.commands,
            *("aws", "secretsmanager", "get-secret-value", "--region", self.said.region),
            *("--secret-id", name, "--query", "SecretString", "--output", "text"),
            advice=(
                f"Flux reads the fleet with the secret {name}: lines username=… and password=… of "
                "a token of Gitea's that may read it, put there by "
                f"`aws secretsmanager create-secret --name {name} --secret-string file://…`."
            ),
        )
        known = dict(line.partition("=")[::2] for line in text.splitlines() if line)
        if not {"username", "password"} <= known.keys():
            raise RefusedError(f"{name}: a line username=… and a line password=… are needed.")
        return known["username"], known["password"]

    def _secret(self) -> None:
        self._kubectl(
            *("apply", "--server-side", "--filename=-"),
            stdin=flux.manifest(flux.namespace(), flux.git_secret(*self._git_secret())),
        )

    def _has_flux(self) -> bool:
        done = self.world.commands.run(
            (
                *("kubectl", f"--kubeconfig={self.kubeconfig}", "get", "fluxinstance", "flux"),
                *("--namespace", flux.NAMESPACE, "--output=json"),
            )
        )
        if done.status:
            return False
        found = json.loads(done.out)
        if found["metadata"].get("annotations", {}).get(flux.RECONCILE) == "disabled":
            raise RefusedError(
                "Flux is suspended here: somebody began to destroy this environment. Go on with "
                "`make destroy`; or take the annotation "
                f"{flux.RECONCILE} from fluxinstance/flux, resume what is suspended "
                "(`flux resume kustomization --all`, `flux resume helmrelease --all` in each "
                "namespace), and run this again."
            )
        return _is_ready(found) and _holds(found["spec"], flux.instance(self.said)["spec"])

    def _flux(self) -> None:
        output(
            self.world.commands,
            *("helm", "upgrade", "--install", "flux-operator", flux.OPERATOR_CHART),
            *("--version", flux.OPERATOR, "--namespace", flux.NAMESPACE, "--create-namespace"),
            *("--kubeconfig", str(self.kubeconfig), "--wait", "--timeout=5m", "--values=-"),
            stdin=flux.operator_values(),
        )
        self._kubectl(
            *("apply", "--server-side", "--force-conflicts", "--filename=-"),
            stdin=flux.manifest(flux.instance(self.said)),
        )
        wait(
            self.world,
            _FLUX_SECONDS,
            10,
            lambda: "" if self._has_flux() else "FluxInstance flux",
        )

    def _wait(self) -> None:
        wait(self.world, _FLUX_SECONDS, 10, self._not_ready)

    def _not_ready(self) -> str:
        listed = self._kubectl(
            "get",
            "kustomizations.kustomize.toolkit.fluxcd.io",
            "--all-namespaces",
            "--output=json",
        )
        items = json.loads(listed)["items"]
        late = sorted(
            item["metadata"]["name"]
            for item in items
            if not item["spec"].get("suspend") and not _is_ready(item)
        )
        return ", ".join(late) if items else "Flux to read the fleet"


def _never() -> bool:
    """Of steps that are asked for each time: what they run asks itself what is there."""
    return False


def _holds(found: Any, wanted: Any) -> bool:
    """Whether what is there says all that is wanted; the API server fills in more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _holds(found[key], value) for key, value in wanted.items())
    return bool(found == wanted)


def _is_ready(found: dict[str, Any]) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in found.get("status", {}).get("conditions", [])
    )


def _check(world: World, root: Root) -> None:
    missing = [
        tool for tool in _TOOLS if world.commands.run((tool, "--version")).status == NOT_INSTALLED
    ]
    if missing:
        raise RefusedError(
            f"{', '.join(missing)}: not installed here; the workstation has them all."
        )
    world.say(f"  account {root.account()}")


def _no_bucket(said: Environment) -> None:
    why, command = bootstrap.commands(said)[0] if said.workstation else ("", "")
    raise RefusedError(
        f"Terraform's state has no bucket in {said.region} yet. "
        + (f"Make {why}: {command}" if command else "platform/bootstrap/state.yaml makes it.")
    )


def context(said: Environment, kubeconfig: Path, credentials: Path) -> str:
    """How tenantctl reaches the environment from here."""
    return "\n".join(
        [
            f"environment = {json.dumps(said.environment)}",
            "[fleet]",
            f"url = {json.dumps(f'{said.git.url}/{said.git.fleet}.git')}",
            f"branch = {json.dumps(said.git.branch)}",
            f"gitea = {json.dumps(said.git.url)}",
            f"credentials = {json.dumps(str(credentials))}",
            "[cluster]",
            'kind = "kubernetes"',
            f"kubeconfig = {json.dumps(str(kubeconfig))}",
            "[aws]",
            f"region = {json.dumps(said.region)}",
            "[routes]",
            f"domain = {json.dumps(said.domain.name)}",
            "[bounds]",
            *(f"{name} = {bound}" for name, bound in said.bounds),
            "",
        ]
    )


def what_next(said: Environment, home: Path) -> list[str]:
    """What a person does with a new environment."""
    name = said.environment
    return [
        "",
        f"{name} is there. What next:",
        f"  export KUBECONFIG={home}/{name}.kubeconfig TENANTCTL_CONTEXTS={home}/contexts",
        "  publish a release, then give it to a ring: tenantctl deploy --tier pools --release …",
        f"  tenants: tenantctl onboard acme --tier basic --context {name}",
        f"  clusters/{name} suspends control-plane and states until facts name tenantctl's image",
    ]
