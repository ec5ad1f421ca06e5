from __future__ import annotations

from pathlib import Path

import pytest

import hygiene

# Put together from parts, as in the script: this file is checked too.
BAD = {
    "the host of a package registry": ["see https://" + "pypi" + ".org/simple", "PyPI" + ".ORG"],
    "where packages come from": ["pip install --index" + "-url https://mirror.example"],
    "a path of somebody's machine": [
        "open('/" + "work/main/x')",
        "cd /" + "root/x",
        "file:///" + "home/ann/x",
        "/" + "Users/ann/x",
    ],
    "a private key": ["-----BEGIN RSA " + "PRIVATE KEY-----"],
    "an AWS access key": ["AKIA" + "ABCDEFGHIJKLMNOP"],
}
GOOD = [
    "pip install --no-index",
    "https://forge.example/" + "work/repository",
    "$HOME/.cache, ~/" + "work/, ${XDG}/" + "root/, /home/$USER/, ./" + "root/x",
    "a workflow/" + "root/ of things",
    "AKIAlower",
]


@pytest.mark.parametrize(
    ("what", "line"), [(k, line) for k, lines in BAD.items() for line in lines]
)
def test_it_finds(what: str, line: str, tmp_path: Path) -> None:
    """Each kind of line that must not be committed is found, with its place."""
    file = tmp_path / "file"
    file.write_text(f"first\n{line}\n")

    assert list(hygiene.places(file, "file")) == [f"file:2: {what}"]


@pytest.mark.parametrize("line", GOOD)
def test_it_leaves_alone(line: str, tmp_path: Path) -> None:
    """What only looks like it is not reported."""
    file = tmp_path / "file"
    file.write_text(line)

    assert list(hygiene.places(file, "file")) == []


def test_a_lock_file_with_addresses_is_refused(tmp_path: Path) -> None:
    """The lock of a package manager is refused by its name."""
    file = tmp_path / "uv.lock"
    file.write_text("")

    assert len(list(hygiene.places(file, "uv.lock"))) == 1
