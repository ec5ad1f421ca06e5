#!/bin/sh
# What Gitea asks before it merges a change of the fleet, and anybody before they push one.
set -eu
cd "$(dirname "$0")/.."
# Its kustomize is Flux's; any version of it does.
command -v kubectl >/dev/null || PATH="$(.venv/bin/python scripts/tool.py kubernetes kubectl):$PATH"
exec .venv/bin/tenantctl check-fleet "$@"
