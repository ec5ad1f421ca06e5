"""What can go wrong, each with the status that the command ends with.

| status | meaning |
| --- | --- |
| 0 | done, or nothing was to do |
| 1 | a bug of tenantctl's own |
| 2 | what was asked for is not valid; nothing was tried |
| 3 | refused by how things stand: another tier, a tombstone, a full environment |
| 4 | no such tenant, pool or release |
| 5 | Git: unreachable, refused, or its history was rewritten |
| 6 | the cluster or AWS does not answer, or denies |
| 7 | not finished within the time given: the same command goes on |
| 8 | a release that is not healthy, and was taken back |
| 9 | registry, Git, cluster and cloud differ (`reconcile`) |
| 130 | interrupted: the same command goes on |
"""

from __future__ import annotations

from typing import ClassVar


class ControlError(Exception):
    """Something that its reader can act on."""

    exit_code: ClassVar[int] = 1


class InvalidError(ControlError):
    """What was asked for is not valid: a name, a tier, a file."""

    exit_code = 2


class RefusedError(ControlError):
    """Valid, but not as things stand."""

    exit_code = 3


class NotFoundError(ControlError):
    """There is no such tenant, pool or release."""

    exit_code = 4


class GitError(ControlError):
    """The fleet's repository cannot be read or written."""

    exit_code = 5


class UnavailableError(ControlError):
    """The cluster or AWS does not answer, or denies."""

    exit_code = 6


class UnfinishedError(ControlError):
    """Begun, and not ended within the time given: the same command goes on."""

    exit_code = 7


class UnhealthyError(ControlError):
    """A release that did not become healthy, and was taken back."""

    exit_code = 8


class DriftError(ControlError):
    """Registry, Git, cluster and cloud do not say the same."""

    exit_code = 9
