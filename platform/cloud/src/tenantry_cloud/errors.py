"""What can go wrong, each with the status that the command ends with.

| status | meaning |
| --- | --- |
| 0 | done, or nothing was to do |
| 1 | a bug of our own |
| 2 | a variables file is not valid, or not there; nothing was tried |
| 3 to 5 | of `make` and `destroy`: see `steps` |
| 130, 143 | interrupted, by Ctrl-C or SIGTERM; the same command goes on from there |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class CloudError(Exception):
    """Something that its reader can act on."""

    exit_code: ClassVar[int] = 1


class InvalidError(CloudError):
    """A variables file is not valid.

    Attributes:
        faults: A line each, which names the variable and the rule.
    """

    exit_code = 2

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        super().__init__("\n".join(f"{name}: {fault}" for fault in faults))
        self.faults = tuple(faults)


class TerraformFailedError(CloudError):
    """Terraform is not there, or fails; the text is what it said."""
