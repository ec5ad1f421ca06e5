"""A tenant moves to another tier, and back, while its messages go on."""

from __future__ import annotations

import pytest

from e2e.aws import Aws
from e2e.control import Control
from e2e.tenants import GLOBEX, TENANTS, Routes
from e2e.traffic import flowing
from support.waiting import wait_for

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("tier", "table"), [("premium", "dev-globex-messages"), ("basic", "dev-pool-1-messages")]
)
def test_a_tenant_moves_under_traffic(
    control: Control, environment: Aws, routes: Routes, tier: str, table: str
) -> None:
    """All that was accepted, before, on the way and after, is in the table where it is then."""
    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: traffic.count >= 30, what="traffic")
        told = control.run("move", GLOBEX.id, f"--tier={tier}")
        assert 0 == told.status, told.err
        before = len(traffic.accepted[GLOBEX.id])
        wait_for(lambda: len(traffic.accepted[GLOBEX.id]) >= before + 10, what="more traffic")

    assert table == routes.table(GLOBEX)
    traffic.settle(TENANTS)
    assert not environment.gate.lost, environment.gate.lost


def test_a_tenant_that_rests_is_refused_and_comes_back(control: Control, routes: Routes) -> None:
    """Its requests are, and nobody else's; what it had is there when it is resumed."""
    before = set(routes.stored(GLOBEX))
    assert before

    told = control.run("suspend", GLOBEX.id)
    assert 0 == told.status, told.err
    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: traffic.refused.get("403"), what="a refusal")
        count = sum(len(of) for name, of in traffic.accepted.items() if name != GLOBEX.id)
        wait_for(lambda: traffic.count >= count + 20, what="traffic of the others")
    told = control.run("resume", GLOBEX.id)
    assert 0 == told.status, told.err

    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: len(traffic.accepted[GLOBEX.id]) >= 5, what="it is back")
    traffic.settle(TENANTS)
    assert before <= set(routes.stored(GLOBEX))
