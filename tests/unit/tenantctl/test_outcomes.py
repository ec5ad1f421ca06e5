"""What came of a request, as the bus is told."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tenantctl.errors import UnavailableError
from tenantctl.events import VERBS
from tenantctl.outcomes import SOURCE, Outcome, emit

#: The toolkit's own names.
TOOLKIT: Final = {
    "onboard": "onboarding",
    "offboard": "offboarding",
    "suspend": "deactivate",
    "resume": "activate",
}


class Bus:
    """EventBridge, as far as it is asked here."""

    def __init__(self, *, refuses: str = "", fails: Exception | None = None) -> None:
        self.entries: list[dict[str, str]] = []
        self._refuses = refuses
        self._fails = fails

    async def put_events(self, *, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if self._fails is not None:
            raise self._fails
        if self._refuses:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": self._refuses}]}
        self.entries += Entries
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}


def outcome(verb: Any = "onboard", *, succeeded: bool = True) -> Outcome:
    return Outcome(
        verb=verb,
        succeeded=succeeded,
        request_id="r-1",
        environment="dev",
        tenant_id="acme",
    )


async def test_an_outcome_is_an_event() -> None:
    """On the bus that is named, from one source."""
    bus = Bus()

    await emit(bus, "dev-tenantry", outcome())

    [entry] = bus.entries
    detail = json.loads(entry.pop("Detail"))
    assert entry == {
        "EventBusName": "dev-tenantry",
        "Source": SOURCE,
        "DetailType": "onboardingSuccess",
    }
    assert detail == {
        "version": 1,
        "verb": "onboard",
        "requestId": "r-1",
        "environment": "dev",
        "tenantId": "acme",
    }


def test_each_verb_has_a_name_of_its_own() -> None:
    """That of the toolkit, where it has one."""
    said: dict[str, str] = {verb: outcome(verb).detail_type for verb in VERBS}

    assert len(VERBS) == len(set(said.values()))
    assert {verb: f"{name}Success" for verb, name in TOOLKIT.items()} == {
        verb: said[verb] for verb in TOOLKIT
    }
    assert "requestFailure" == outcome(None, succeeded=False).detail_type


@pytest.mark.parametrize(
    "bus",
    [
        Bus(refuses="InternalFailure"),
        Bus(fails=EndpointConnectionError(endpoint_url="https://events")),
        Bus(fails=ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")),
    ],
)
async def test_a_bus_that_was_not_told_is_an_error(bus: Bus) -> None:
    """Which is tried again, since nobody else tells who waits."""
    with pytest.raises(UnavailableError, match="dev-tenantry"):
        await emit(bus, "dev-tenantry", outcome())
