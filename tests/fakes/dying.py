"""Clients of AWS around real ones: they die at a call, count, and spoil answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Awaitable[Any]]


class KilledError(BaseException):
    """The process ended here: nothing in it can catch this."""


class Watched:
    """A client that counts its calls, and perhaps dies at one of them, for good.

    Args:
        client: The real one.
        dies_at: The number of the call, from 1; None: never.
        after: Whether it dies after the call was done, and not before.
        spoils: By the name of a method, what is called instead, with the method and its request.
    """

    def __init__(
        self,
        client: Any,
        *,
        dies_at: int | None = None,
        after: bool = False,
        spoils: dict[str, Callable[..., Awaitable[Any]]] | None = None,
    ) -> None:
        self.client = client
        self.calls: Counter[str] = Counter()
        self.is_dead = False
        self._dies_at = dies_at
        self._after = after
        self._spoils = spoils or {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.client, name)
        if not callable(found) or name == "exceptions":
            return found

        async def call(**request: Any) -> Any:
            if self.is_dead:
                raise KilledError
            self.calls[name] += 1
            is_last = self.calls.total() == self._dies_at
            self.is_dead = is_last
            if is_last and not self._after:
                raise KilledError
            spoils = self._spoils.get(name)
            answer = await (spoils(found, **request) if spoils else found(**request))
            if is_last:
                raise KilledError
            return answer

        return call
