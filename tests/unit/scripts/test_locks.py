from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import locks

LOCKED = """\
# made by a tool
Some.Thing==1.2.3 \\
    --hash=sha256:{hash}
    # via other
other==2.0 ; python_version < '3' \\
    --hash=sha256:{hash}
bare==3.0
    # via other
""".format(hash="0" * 64)


def test_pins_are_of_this_platform_and_normalised() -> None:
    """A package for another Python is not expected to be installed."""
    assert locks.pinned(LOCKED) == {"some-thing": Version("1.2.3"), "bare": Version("3.0")}


def test_a_pin_without_a_hash_is_found() -> None:
    """A package that anybody could replace is named."""
    assert list(locks.unhashed(LOCKED)) == ["bare"]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("some-thing>=1", []),
        ("some-thing>=2", ["some-thing>=2 is asked for, 1.2.3 is locked"]),
        ("missing>=1", ["missing>=1 is not locked"]),
        ("missing>=1; python_version < '3'", []),
    ],
)
def test_what_is_asked_for_must_be_locked_so(asked: str, told: list[str]) -> None:
    """A lock that no longer satisfies a pyproject file is told, requirement by requirement."""
    assert list(locks.unsatisfied([Requirement(asked)], locks.pinned(LOCKED))) == told


def test_our_own_distributions_stand_for_what_they_need() -> None:
    """A service's closure reaches through the library, which is never locked itself."""
    names = {requirement.name for requirement in locks.closure(["tenantry-producer"])}

    assert {"fastapi", "aioboto3"} <= names
    assert not names & set(locks.PROJECTS)


def test_too_new_a_botocore_is_told() -> None:
    """The one version that would break every AWS call is named."""
    told = list(locks.uninstalled({"botocore": locks.BOTOCORE_BELOW}))

    assert any("must be below" in line for line in told)
