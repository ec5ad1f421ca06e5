"""Two readers of one file: what ours takes Terraform takes, and the rest ends in a message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cloud.environments import FILES, ROOT, changed, write
from support import terraform
from tenantry_cloud.errors import InvalidError
from tenantry_cloud.hcl import SyntaxFaultError, read_literals
from tenantry_cloud.reading import read_environment
from tenantry_cloud.tables import read_tables

TABLES: Final = read_tables(ROOT)

#: Values of `a`, which both take: the same.
TAKEN: Final = (
    "a = 1",
    "\ufeffa = 1\n",
    "a = 1\r\nb = 2\r\n",
    'a = {"b" = 1}',
    'a = {"b": 1, c: 2\n d = 3 # x\n e = 4}',
    "a = [1, # x\n 2,\n]",
    "a = (1)",
    "a = [40.0, 01, 1e5, -1.5]",
    'a = "e\u0301"',
    'a = "$ $$ %"',
)
#: What neither takes; of the most, python-hcl2 by itself would.
REFUSED: Final = (
    "a = {(b) = 1}",
    "a = {b = 1 c = 2}",
    "a = {b = [1] c = 2}",
    "a = {b = 1 /* x\n */ c = 2}",
    "a = {\n b = 1\n , c = 2\n}",
    "a = 1 b = 2",
    'a = "x" /* y */ b = 1',
    "a = 1 /* x\n */ b = 2",
    '"a" = 1',
    'a = "x\ny"',
    'a = "x\r\ny"',
    "a = 1\rb = 2",
    "a = [1 2]",
    "a = 1,",
    "a = 1.",
)
_CONFIGURATION: Final = """
variable "a" { type = any }
variable "b" {
  type    = number
  default = 0
}
output "a" { value = jsonencode(var.a) }
"""


@pytest.fixture(scope="module")
def anything(tmp_path_factory: pytest.TempPathFactory) -> terraform.Root:
    """A root that takes whatever `a` is."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("anything") / "root"
    folder.mkdir()
    (folder / "main.tf").write_text(_CONFIGURATION, encoding="utf-8")
    return terraform.open_root(tool, folder)


def _terraform(root: terraform.Root, file: Path, text: str) -> Iterator[Any]:
    """What Terraform has for `a`; nothing where it refuses the file."""
    file.write_bytes(text.encode())
    said = root.run(
        *("apply", "-auto-approve", "-input=false", "-json", f"-var-file={file}"), also=(1,)
    )
    for line in said.splitlines():
        event = json.loads(line)
        if event["type"] == "outputs" and "value" in event["outputs"]["a"]:
            yield json.loads(event["outputs"]["a"]["value"])


@pytest.mark.parametrize("text", TAKEN, ids=ascii)
def test_what_both_take_is_the_same(text: str, anything: terraform.Root, tmp_path: Path) -> None:
    """Also a file of Windows's."""
    assert [read_literals(text)["a"]] == list(_terraform(anything, tmp_path / "x.tfvars", text))


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_what_terraform_refuses_we_refuse(
    text: str, anything: terraform.Root, tmp_path: Path
) -> None:
    """Once `(shared) =` was a name to us, and a variable to it."""
    with pytest.raises(SyntaxFaultError):
        read_literals(text)
    assert [] == list(_terraform(anything, tmp_path / "x.tfvars", text))


_DEV: Final = (ROOT / "platform/environments/dev.tfvars").read_text("utf-8")
_PIECES: Final = (
    *(
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "=",
        ",",
        '"',
        "${",
        "%{",
        "#",
        "/*",
        "*/",
        "\n",
        "\r",
        "<<E\n",
    ),
    *("null", "true", "-", "1e400", "-1e400", "9" * 5_000, "[" * 2_000, "{a=" * 2_000, "\ufeff"),
    *("\x00", "é", "10.16.0.0/16", "::/0", '""', "1.5", "x", "shared", "v1.2.3-eksbuild.1"),
    f'"{"9" * 5_000}.1.1"',
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """The file of dev, with something in the place of something."""
    text = _DEV
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = begin + draw(st.integers(0, 30))
        text = text[:begin] + draw(st.sampled_from(_PIECES) | st.text(max_size=5)) + text[end:]
    return text.encode("utf-8", "surrogatepass")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | _damaged())
@example(content=_DEV.replace('"2.21.0"', f'"{"9" * 5_000}.1.1"').encode())
@example(content=_DEV.replace("= 900", "= 1e400").encode())
@example(content=_DEV.replace("= 900", "= -900").encode())
@example(content=_DEV.replace("= 900", f"= {'9' * 5_000}").encode())
@example(content=_DEV.replace("= 900", f"= {'[' * 2_000}{']' * 2_000}").encode())
@example(content=b"\xff\xfe")
def test_nothing_but_a_message_comes_of_a_file(content: bytes, tmp_path: Path) -> None:
    """Whatever is in it: it names the file, and is no traceback."""
    file = tmp_path / "dev.tfvars"
    file.write_bytes(content)

    said = ""
    try:
        said = f"dev.tfvars: {read_environment(file, TABLES).environment}"
    except InvalidError as error:
        said = str(error)

    assert said.startswith("dev.tfvars: ")


def test_a_file_of_windows_is_read(tmp_path: Path) -> None:
    """With a byte order mark and its ends of lines, as some editors write it."""
    file = tmp_path / "dev.tfvars"
    file.write_bytes(b"\xef\xbb\xbf" + _DEV.replace("\n", "\r\n").encode())

    assert read_environment(file, TABLES) == read_environment(FILES[0], TABLES)


#: staging's file beside dev's, and what it says then. dev has 10.16.0.0/16 and 10.15.0.0/24.
CROSSING: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "the same range": (
        {"network/cidr": "10.16.0.0/16"},
        "network.cidr: 10.16.0.0/16 overlaps with 10.16.0.0/16, network.cidr of dev.tf",
    ),
    "a part of it": (
        {"network/cidr": "10.16.64.0/18"},
        "network.cidr: 10.16.64.0/18 overlaps with 10.16.0.0/16, network.cidr of dev.tf",
    ),
    "its workstation's": (
        {"workstation/cidr": "10.15.0.128/25"},
        "workstation.cidr: 10.15.0.128/25 overlaps with 10.15.0.0/24, workstation.cidr of dev.tf",
    ),
}


@pytest.mark.parametrize("case", CROSSING)
def test_two_environments_of_one_peer_have_their_own_ranges(case: str, tmp_path: Path) -> None:
    """Else it would route to one of them: both files are named, whichever is read."""
    change, says = CROSSING[case]
    dev = write(tmp_path / "dev.tfvars", changed({}))
    staging = write(tmp_path / "staging.tfvars", changed(change, "staging"))

    with pytest.raises(InvalidError) as error:
        read_environment(staging, TABLES)
    with pytest.raises(InvalidError, match=r"of staging\.tfvars: shared, a peer of both"):
        read_environment(dev, TABLES)

    assert error.value.faults[0].startswith(says), error.value.faults


@pytest.mark.parametrize(
    "change",
    [
        {"network/peers": {}},
        {"account": "999999999999"},
        {
            "region": "eu-west-1",
            "network/zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"],
            "domain/certificate_arn": (
                "arn:aws:acm:eu-west-1:123456789012:certificate/"
                "00000000-0000-0000-0000-000000000000"
            ),
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_environments_without_a_common_peer_may_have_one_range(
    change: dict[str, Any], tmp_path: Path
) -> None:
    """Nobody has to choose between them."""
    ours = {"network/cidr": "10.16.0.0/16", **change}
    write(tmp_path / "dev.tfvars", changed({"account": "123456789012"}))
    staging = write(tmp_path / "staging.tfvars", changed(ours, "staging"))

    assert read_environment(staging, TABLES).environment == "staging"


def test_a_peer_is_one_by_its_vpc_too(tmp_path: Path) -> None:
    """Whatever each file calls it."""
    vpc = {"cidr": "10.14.0.0/18", "vpc_id": "vpc-0123456789abcdef0", "reaches_services": False}
    write(tmp_path / "dev.tfvars", changed({"network/peers": {"git": vpc}}))
    staging = write(
        tmp_path / "staging.tfvars",
        changed({"network/peers": {"tools": vpc}, "network/cidr": "10.16.0.0/16"}, "staging"),
    )

    with pytest.raises(InvalidError, match="tools, a peer of both"):
        read_environment(staging, TABLES)


def test_what_is_wrong_with_another_file_is_its_own(tmp_path: Path) -> None:
    """Nobody's environment waits for a neighbour's."""
    (tmp_path / "broken.tfvars").write_text("a = {", encoding="utf-8")
    (tmp_path / "shared.tfvars").write_text("region = 1\n", encoding="utf-8")
    dev = write(tmp_path / "dev.tfvars", changed({}))

    assert read_environment(dev, TABLES).environment == "dev"
