"""What the conditions of Flux and the tofu-controller come to, and what a refusal is told as."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
import yaml
from kubernetes_asyncio.client.exceptions import ApiException

from support.fleets import a_tenant
from tenantctl.errors import UnavailableError
from tenantctl.files import render
from tenantctl.flux import GIVEN_UP_SECONDS, applied_of, asked

SINCE: Final = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


def a_condition(kind: str, status: str, reason: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "a timeout",
        "lastTransitionTime": "2026-11-22T00:00:00Z",
    }


def a_release(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(render(a_tenant("acme")))
    found["metadata"]["generation"] = 1
    found["status"] = {
        "lastAttemptedGeneration": 1,
        "observedGeneration": 1,
        "conditions": list(conditions),
        **status,
    }
    return found


@pytest.mark.parametrize("reason", ["UpgradeFailed", "ArtifactFailed", "DependencyNotReady"])
def test_a_failure_that_is_tried_again_is_not_given_up(reason: str) -> None:
    """Bug: `Ready=False` ended a wait at once, by the last word of its reason."""
    release = a_release(a_condition("Ready", "False", reason))

    early = applied_of(release, None, None, now=SINCE + GIVEN_UP_SECONDS - 1)
    late = applied_of(release, None, None, now=SINCE + GIVEN_UP_SECONDS)

    assert (early.has_failed, early.is_ready) == (False, False)
    assert "a timeout" in early.detail
    assert late.has_failed


def test_what_is_stalled_has_given_up_at_once() -> None:
    """Helm tries it again only after a change."""
    stalled = a_condition("Stalled", "True", "RetriesExceeded")
    release = a_release(a_condition("Ready", "False", "UpgradeFailed"), stalled)

    assert applied_of(release, None, None, now=SINCE).has_failed


def test_what_is_tried_right_now_has_not_given_up() -> None:
    """However long it has been at it."""
    release = a_release(a_condition("Ready", "Unknown", "Progressing"))

    assert not applied_of(release, None, None, now=SINCE + 10 * GIVEN_UP_SECONDS).has_failed


def test_a_plan_that_failed_again_and_again_has_given_up() -> None:
    """Each try makes its condition young again: its count says it."""
    release = a_release(a_condition("Ready", "True", "UpgradeSucceeded"))
    terraform = a_release(
        a_condition("Ready", "False", "TFExecPlanFailed"), reconciliationFailures=3
    )

    assert applied_of(release, terraform, None, now=SINCE).has_failed


SAID: Final = (
    'helmreleases.helm.toolkit.fluxcd.io \\"acme\\" is forbidden: User '
    '\\"system:serviceaccount:argo-control:suspend\\" cannot get resource \\"helmreleases\\" in '
    'API group \\"helm.toolkit.fluxcd.io\\" in the namespace \\"tenants\\"'
)


@pytest.mark.parametrize(
    ("status", "body", "parts"),
    [
        (
            403,
            f'{{"message": "{SAID}"}}',
            ("argo-control:suspend", "cannot get", "the namespace", "control-plane/base/accounts"),
        ),
        (403, "no JSON", ("Forbidden", "control-plane/base/accounts")),
        (403, "[]", ("Forbidden",)),
        (401, '{"message": "Unauthorized"}', ("does not know us", "credentials")),
    ],
)
async def test_a_refusal_says_who_may_not_do_what(
    status: int, body: str, parts: tuple[str, ...]
) -> None:
    """Bug: of a 403 only the object was told; not verb, account, nor what would be right."""

    async def ask() -> None:
        error = ApiException(status=status, reason="Forbidden")
        error.body = body.encode()
        raise error

    with pytest.raises(UnavailableError) as caught:
        await asked(ask, "helmreleases tenants/acme")

    for part in ("helmreleases tenants/acme", *parts):
        assert part in str(caught.value)
