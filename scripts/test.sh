#!/bin/sh
# The tests that need Python alone, with the coverage of our code and of the processes they start.
# With arguments (`make test ARGS='-k name'`): those for pytest, and no floor of coverage.
set -eu
cd "$(dirname "$0")/.."
here="not engines and not faults and not terraform and not cluster and not delivery and not e2e"
if [ $# -gt 0 ]; then
  exec .venv/bin/python -m pytest -m "$here" "$@"
fi

# What Helm, Terraform and its provider remember for a moment need not be tidied up so often.
export GOGC="${GOGC:-400}"

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
# Here Helm and Terraform do the work, or code whose coverage nobody measures: without coverage,
# which makes all Python half as fast.
unmeasured="tests/unit/benchmarks tests/unit/loadtests tests/unit/scripts"
declared="$unmeasured tests/chart"
[ -n "$without" ] || declared="$declared tests/platform/fleet tests/platform/iam tests/platform/terraform"
# shellcheck disable=SC2086 # one word or more
.venv/bin/python -m pytest -m "$here" --numprocesses 2 --dist worksteal $declared || status=$?
for folder in tests/integration $declared ${without:+tests/platform}; do
  set -- "$@" --ignore "$folder"
done
play --numprocesses 2 --dist worksteal "$@" tests
# The longest first, so that nobody waits for it at the end.
set -- tests/integration/test_demo.py tests/integration/test_telemetry.py
for file in tests/integration/test_*.py; do
  case " $* $calls $footprint " in *" $file "*) ;; *) set -- "$@" "$file" ;; esac
done
play --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
play "$calls" "$footprint"
.venv/bin/coverage combine --quiet
.venv/bin/coverage html --quiet --fail-under=0 --directory "$data/html"
[ "$status" -eq 0 ] || exit "$status"
exec .venv/bin/coverage report
