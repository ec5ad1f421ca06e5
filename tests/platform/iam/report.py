"""The matrices in words and letters, and whether each cell is as it is to be."""

from __future__ import annotations

from iam import matrix, platform_cells, platform_trust, runner, trust
from iam.platform_table import TABLE
from iam.rendered import Roles


def report(roles: Roles) -> str:
    """All tables."""
    return "\n\n".join(
        (
            "Services\n" + matrix.table(roles),
            "Terraform\n" + runner.table(roles),
            "Who becomes a role\n" + trust.table(roles),
        )
    )


def is_right(roles: Roles) -> bool:
    """Whether every cell is as it is to be."""
    policies = {name: [role.access_policy()] for name, role in roles.items()}
    return not (
        any(True for _ in matrix.wrong(matrix.cells(roles), policies))
        or any(True for _ in runner.wrong(runner.asks(roles), *policies["tf-runner"]))
        or any(
            entry.is_let_in(roles[entry.role].trust_policy(), roles[entry.role].arn)
            != entry.expected
            for entry in trust.entries(roles)
        )
    )


def platform_report(roles: Roles) -> str:
    """The table of the cluster's own software."""
    return "The cluster's own software\n" + platform_cells.table(roles)


def is_platform_right(roles: Roles) -> bool:
    """Whether every cell of it is as it is to be, and only its own accounts become each role."""
    return not any(
        next(
            platform_cells.wrong(
                platform_cells.cells(name, roles[name]), roles[name].access_policy()
            ),
            None,
        )
        or platform_trust.wrong(list(platform_trust.entries(name)), roles[name])
        for name in TABLE
    )
