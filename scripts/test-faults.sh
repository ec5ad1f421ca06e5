#!/bin/sh
# The tests that kill, interrupt and disturb for minutes.
set -eu
cd "$(dirname "$0")/.."
# Two at a time, each as soon as one is free: much of a fault is waiting. The longest comes first.
first=tests/integration/test_tenantctl.py
for file in tests/integration/test_*.py; do
  [ "$file" = "$first" ] || set -- "$file" "$@"
done
exec .venv/bin/python -m pytest -m faults --numprocesses 2 --maxschedchunk 1 \
  "$first" tests/unit/tenantctl "$@"
