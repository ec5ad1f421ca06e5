#!/bin/sh
# The tests that kill, interrupt and disturb for minutes.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/python -m pytest -m faults tests/integration tests/unit/tenantctl "$@"
