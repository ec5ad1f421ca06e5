#!/bin/sh
# The tests that need Python alone, with the coverage of our code and of the processes they start.
# With arguments (`make test ARGS='-k name'`): those for pytest, and no floor of coverage.
set -eu
cd "$(dirname "$0")/.."
here="not engines and not faults and not terraform and not cluster"
if [ $# -gt 0 ]; then
  exec .venv/bin/python -m pytest -m "$here" "$@"
fi

data=$PWD/.tenantry/coverage
rm -rf "$data"
mkdir -p "$data"
export COVERAGE_FILE="$data/data"
status=0
without=
command -v terraform >/dev/null || {
  echo "make test: terraform is not on the PATH, so tests/platform is left out" >&2
  without=yes
}
# Two at a time, but for those that measure, and would measure each other.
calls=tests/integration/test_calls.py
footprint=tests/integration/test_footprint.py
play() { [ "$status" -ne 0 ] || .venv/bin/coverage run -m pytest -m "$here" "$@" || status=$?; }
# Helm and Terraform do the work here, and next to no code of ours: without coverage.
declared="tests/chart tests/platform/fleet tests/platform/iam tests/platform/terraform"
[ -z "$without" ] || declared=tests/chart
# shellcheck disable=SC2086 # one word or more
.venv/bin/python -m pytest -m "$here" --numprocesses 2 --dist worksteal $declared || status=$?
for folder in tests/integration $declared ${without:+tests/platform}; do
  set -- "$@" --ignore "$folder"
done
play --numprocesses 2 "$@" tests
play --numprocesses 2 --dist loadfile --ignore "$calls" --ignore "$footprint" tests/integration
play "$calls" "$footprint"
.venv/bin/coverage combine --quiet
.venv/bin/coverage html --quiet --fail-under=0 --directory "$data/html"
[ "$status" -eq 0 ] || exit "$status"
exec .venv/bin/coverage report
