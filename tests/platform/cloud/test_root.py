"""Terraform as `make environment` runs it: the real one, its state in the engine's S3."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from cloud.environments import ROOT
from iam.engine import Engine, open_engine
from support import terraform
from tenantry_cloud.reading import read_environment
from tenantry_cloud.root import Root, grouped
from tenantry_cloud.steps import CommandError, Done, Shell
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

pytestmark = pytest.mark.slow

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
BUCKET: Final = "tenantry-state-123456789012-eu-central-1"
KEY: Final = "environments/dev.tfstate"
#: A root that needs no provider but the one in Terraform, with the backend of ours.
CONFIGURATION: Final = """
terraform {
  backend "s3" {
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_requesting_account_id  = true
  }
}
variable "environment" { type = string }
variable "protected" {
  type    = bool
  default = true
}
resource "terraform_data" "one" { input = var.environment }
output "facts" { value = { environment = terraform_data.one.output } }
"""


class Quiet(Shell):
    """The shell, with Terraform's environment, and an `aws` that says whose account it is."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(folder)
        self._env = env

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        is_shown: bool = False,
    ) -> Done:
        if words[2] == "get-caller-identity":
            return Done(0, "123456789012\n")
        return super().run(words, stdin=stdin, env={**self._env, **(env or {})})


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[Engine]:
    """S3, with the bucket that the bootstrap stack makes."""
    processes, port = Processes(), free_port()
    try:
        await start_engine(processes, port, tmp_path, services="s3,sts")
        async with open_engine(
            f"http://127.0.0.1:{port}", region="eu-central-1", services=("s3",)
        ) as opened:
            await opened.client("s3").create_bucket(
                Bucket=BUCKET,
                CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
            )
            yield opened
    finally:
        processes.close()


@pytest.fixture
def root(engine: Engine, tmp_path: Path) -> Root:
    """Of a checkout whose root is small."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    checkout = tmp_path / "checkout"
    folder = checkout / "platform/terraform/environment"
    folder.mkdir(parents=True)
    (folder / "main.tf").write_text(CONFIGURATION, encoding="utf-8")
    (checkout / "platform/environments").mkdir()
    (checkout / "platform/environments/dev.tfvars").write_text('environment = "dev"\n', "utf-8")
    env = terraform.environment(tool, tmp_path / "root") | {"AWS_ENDPOINT_URL_S3": engine.url}
    return Root(Quiet(checkout, env), DEV, checkout / ".tenantry", patience="0s")


async def test_an_environment_is_planned_applied_and_destroyed(root: Root, engine: Engine) -> None:
    """Its state is in the bucket, under the environment's name, and nowhere on this machine."""
    root.init()
    assert root.resources() == []

    assert "terraform_data.one" in root.plan()
    root.apply()
    assert root.plan() == ""
    assert root.resources() == ["terraform_data.one"]
    assert root.output("facts") == {"environment": "dev"}
    stored = await engine.client("s3").list_objects_v2(Bucket=BUCKET)
    assert [one["Key"] for one in stored["Contents"]] == [KEY]

    root.destroy()
    assert root.resources() == []


async def test_what_holds_the_state_is_named_with_the_way_out(root: Root, engine: Engine) -> None:
    """A run that was killed leaves its lock: nothing is changed, and the id is told.

    Once it was the id of S3's request that was told: it stands first in what Terraform says.
    """
    lock = {"ID": "4711-0815", "Operation": "OperationTypeApply", "Who": "me@here"}
    root.init()
    await engine.client("s3").put_object(
        Bucket=BUCKET, Key=f"{KEY}.tflock", Body=json.dumps(lock).encode()
    )

    with pytest.raises(CommandError, match="force-unlock 4711-0815") as held:
        root.plan()
    assert "TF_DATA_DIR=" in str(held.value), "else the command would look for another state"


def test_resources_are_counted_by_kind() -> None:
    """As people read them: without keys and indexes."""
    assert grouped(
        [
            'module.network.aws_vpc_endpoint.interface["ecr.api"]',
            'module.network.aws_vpc_endpoint.interface["sqs"]',
            "module.network.aws_subnet.private[0]",
            "aws_dynamodb_table.registry",
        ]
    ) == {
        "environment: aws_dynamodb_table": 1,
        "network: aws_subnet": 1,
        "network: aws_vpc_endpoint": 2,
    }
