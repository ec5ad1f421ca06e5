"""What came of a request, told to who waits for it: an event on the environment's bus.

Names are those of the SaaS Builder Toolkit where it has one, and made like them elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantctl.awsfailures import AWS_ERRORS, failure, failure_of_entry
from tenantctl.events import Verb

SOURCE: Final = "tenantry.controlPlane"
#: What a verb is called in the names of events; `None` is a request that nobody understood.
_NAMES: Final[Mapping[Verb | None, str]] = {
    "onboard": "onboarding",
    "offboard": "offboarding",
    "suspend": "deactivate",
    "resume": "activate",
    "deploy": "deployment",
    "move": "move",
    "redrive": "redrive",
    "reconcile": "reconcile",
    None: "request",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended.

    Attributes:
        verb: None where it had none that is known.
        tenant_id: None where it is about none.
    """

    verb: Verb | None
    succeeded: bool
    request_id: str
    environment: str
    tenant_id: str | None = None

    @property
    def detail_type(self) -> str:
        """The event's name, as `onboardingSuccess`."""
        return f"{_NAMES[self.verb]}{'Success' if self.succeeded else 'Failure'}"

    @property
    def detail(self) -> dict[str, Any]:
        """What the event says: nothing that a customer sent."""
        said = {
            "version": 1,
            "verb": self.verb,
            "requestId": self.request_id,
            "environment": self.environment,
            "tenantId": self.tenant_id,
        }
        return {key: value for key, value in said.items() if value is not None}


async def emit(client: Any, bus: str, outcome: Outcome) -> None:
    """Put an outcome on a bus of EventBridge.

    Raises:
        UnavailableError: It does not answer, or denies.
    """
    entry = {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": outcome.detail_type,
        "Detail": json.dumps(outcome.detail, sort_keys=True),
    }
    try:
        answer = await client.put_events(Entries=[entry])
    except AWS_ERRORS as error:
        raise failure(error, "PutEvents", f"bus {bus}") from error
    if answer.get("FailedEntryCount"):
        refused = {"Code": answer["Entries"][0].get("ErrorCode", "")}
        raise failure_of_entry(refused, "PutEvents", f"bus {bus}")
