"""Why a release was not made."""

from __future__ import annotations

from typing import ClassVar


class DeliveryError(Exception):
    """What was wrong, where, and what would be right: a text for a person.

    Attributes:
        exit_code: The status of the command: 2 somebody has to change something first; 3 what is
            in the registry is another thing, and stays; 4 a program or a registry failed, and the
            same again goes on from there.
    """

    exit_code: ClassVar[int] = 2


class PublishedError(DeliveryError):
    """Something else has this name already."""

    exit_code = 3


class FailedError(DeliveryError):
    """A program or a registry failed."""

    exit_code = 4
