"""Which environment is meant: a context names it, and says where everything of it is.

A context is a TOML file, `<name>.toml`, in the folder that `TENANTCTL_CONTEXTS` names; else in
`.tenantry/contexts` of the current folder or one above it, in a laptop's run folder beside that,
or in `tenantry/contexts` of the user's configuration. It holds no secret: where one is needed, the
path of its file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tenantctl.check import Bounds
from tenantctl.errors import InvalidError, NotFoundError

_BOUNDS: Final = Bounds()
_HOME: Final = ".tenantry"
_CONTEXTS: Final = "contexts"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FleetSection(_Section):
    """The GitOps repository."""

    url: str
    branch: str = "main"
    credentials: Path | None = None
    cache: Path | None = None
    #: Where Gitea's API is, `https://gitea.example.com`, if pull requests are wanted.
    gitea: str | None = None
    author: str = "tenantctl <tenantctl@localhost>"


class LaptopSection(_Section):
    """The laptop in the cluster's place: the folder of its stand-in for Flux."""

    kind: Literal["laptop"]
    state: Path


class KubernetesSection(_Section):
    """A cluster: `kubeconfig` and `context` of it, or the account of the pod that asks."""

    kind: Literal["kubernetes"]
    kubeconfig: Path | None = None
    context: str | None = None


class AwsSection(_Section):
    """Where AWS is. Credentials come from where they always do, unless `is_local`."""

    region: str
    endpoint_url: str | None = None
    #: An engine on this machine takes any credentials: never those of the user.
    is_local: bool = False


class RoutesSection(_Section):
    """How tenants are reached: by `url` and the header tenantID, or at `<tenant>.<domain>`."""

    url: str | None = None
    domain: str | None = None
    #: A folder of files `token-<tenant>`, each a header line with a token for trying out.
    tokens: Path | None = None


class ChartsSection(_Section):
    """Where charts are that `deploy` may name."""

    #: As `https://registry.example.com`.
    registry: str
    repository: str = "tenantry/tenant-template"
    #: Of the Terraform module.
    module: str = "tenantry/tenant-module"
    #: AWS's own, which wants a password of AWS.
    is_ecr: bool = False


class CostsSection(_Section):
    """Where `cost` asks, as `http://opencost.monitoring:9003`; options of it come first."""

    opencost: str | None = None
    prometheus: str | None = None


class TimingSection(_Section):
    """Seconds; what the environment's services were told."""

    placement_max_age: Annotated[float, Field(gt=0)] = 300
    visibility: Annotated[float, Field(gt=0)] = 60
    poll: Annotated[float, Field(gt=0)] = 2
    settle: Annotated[float, Field(gt=0)] = 60
    wait: Annotated[float, Field(gt=0)] = 1_800
    write_rate: Annotated[float, Field(gt=0)] = 500


class BoundsSection(_Section):
    """How many tenants share something, at most; what stands for each is in `check.Bounds`."""

    basic_a_pool: Annotated[int, Field(gt=0)] = _BOUNDS.basic_a_pool
    advanced_a_pool: Annotated[int, Field(gt=0)] = _BOUNDS.advanced_a_pool
    premium_a_group: Annotated[int, Field(gt=0)] = _BOUNDS.premium_a_group
    load_balancers: Annotated[int, Field(gt=0)] = _BOUNDS.load_balancers


class Context(_Section):
    """One environment, as tenantctl reaches it."""

    environment: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
    fleet: FleetSection
    cluster: Annotated[LaptopSection | KubernetesSection, Field(discriminator="kind")]
    aws: AwsSection
    registry_table: str | None = None
    routes: RoutesSection = RoutesSection()
    charts: ChartsSection | None = None
    #: The bus of EventBridge that is told what came of requests.
    bus: str | None = None
    costs: CostsSection = CostsSection()
    timing: TimingSection = TimingSection()
    bounds: BoundsSection = BoundsSection()
    #: Where exports of tenants that leave go: a folder, or `s3://bucket/prefix`.
    exports: str = ".tenantry/exports"
    #: Where copies of tenants' Terraform states are, as `exports`; none are made if absent.
    states: str | None = None


def load(name: str | None, environ: Mapping[str, str] = os.environ) -> tuple[str, Context]:
    """The context of a name, or the only one there is, with its name.

    Raises:
        NotFoundError: There is none, or more than one and none was named.
        InvalidError: Its file is not a context; the text names file and key.
    """
    known = dict(reversed([(path.stem, path) for path in _files(environ)]))
    wanted = name or environ.get("TENANTCTL_CONTEXT")
    if not known:
        raise NotFoundError(
            "no context is known: `make demo` writes one for the laptop, and "
            "docs/control-plane.md says what one of an environment holds"
        )
    if wanted is None:
        if len(known) > 1:
            raise NotFoundError(
                f"which one of {', '.join(sorted(known))}? Name it with --context, or in "
                "TENANTCTL_CONTEXT"
            )
        wanted = next(iter(known))
    if wanted not in known:
        raise NotFoundError(f"there is no context {wanted}, only {', '.join(sorted(known))}")
    return wanted, _read(known[wanted])


def _read(path: Path) -> Context:
    try:
        return Context.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidError(f"{path}: {where}: {first['msg']}") from None


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Every context's file, the nearest folder first."""
    for folder in _folders(environ):
        yield from sorted(folder.glob("*.toml"))


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    if named := environ.get("TENANTCTL_CONTEXTS"):
        yield Path(named)
        return
    here = Path.cwd()
    for above in (here, *here.parents):
        if (above / _HOME).is_dir():
            yield above / _HOME / _CONTEXTS
            yield from sorted((above / _HOME).glob(f"run*/{_CONTEXTS}"))
            break
    config = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    yield Path(config) / "tenantry" / _CONTEXTS
