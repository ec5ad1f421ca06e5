"""What the rules of values are made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, ip_network
from typing import Final

REGION: Final = r"[a-z]{2}(-[a-z]+)+-[0-9]"
INSTANCE_TYPE: Final = r"[a-z][a-z0-9-]*[.][a-z0-9-]+"
#: Machines of Amazon's own processors: m7g, c7gn, r8gd; not g5.
GRAVITON: Final = r"[a-z]+[0-9]+g[a-z]*[.].*"
#: At most three digits each: Terraform compares releases as one number.
RELEASE: Final = r"[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}"


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text is of the pattern."""
    return re.fullmatch(pattern, text, re.ASCII) is not None


def are_known(these: Collection[str], known: Collection[str]) -> bool:
    """Whether there are some, and each is known."""
    return bool(these) and set(these) <= set(known)


def is_range(text: str, shortest: int, longest: int) -> bool:
    """Whether it is an IPv4 range by its first address, with a prefix from one to the other."""
    try:
        return text == str(network := IPv4Network(text)) and (
            shortest <= network.prefixlen <= longest
        )
    except ValueError:
        return False


def is_any_range(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 range, by whichever of its addresses."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def is_tag(text: str) -> bool:
    """Whether a tag's key or value may be made of it."""
    return all(one in "_.:/=+-@" or unicodedata.category(one)[0] in "LNZ" for one in text)


def release(version: str) -> tuple[int, ...]:
    """The numbers of `v1.2.3-eksbuild.1` that are compared."""
    return tuple(map(int, re.findall(r"[0-9]+", version)[:3]))


def without(these: Iterable[str], those: Iterable[str]) -> str:
    """These but for those, as a list for people; empty where nothing is left."""
    return ", ".join(sorted(set(these) - set(those)))


def listed(numbers: Iterable[int]) -> str:
    """Numbers as a list for people."""
    return ", ".join(map(str, numbers))
