#!/bin/sh
# Roles, the tenant module and whole environments applied for real on local engines, and the rules
# under OpenTofu, too, where `make tools` has built it.
# Exit status 3: terraform is missing, on a person's machine. In CI that is a failure.
set -eu
cd "$(dirname "$0")/.."

if ! command -v terraform >/dev/null; then
  echo "make test-terraform needs Terraform 1.11 or later on the PATH" >&2
  [ -z "${CI:-}" ] || exit 1
  exit 3
fi
tofu=$(.venv/bin/python scripts/tool.py --built opentofu)
if [ -n "$tofu" ]; then
  export TENANTRY_TOFU="$tofu/tofu"
fi
# What Terraform and its provider remember for a moment need not be tidied up so often.
export GOGC="${GOGC:-400}"
# Two at a time: much of an apply is waiting.
exec .venv/bin/python -m pytest -m terraform --numprocesses 2 --dist loadfile tests/platform "$@"
