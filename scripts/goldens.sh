#!/bin/sh
# Writes the committed files that tests compare with. A person reads the difference and commits it.
set -eu
cd "$(dirname "$0")/.."
if [ -n "${CI:-}" ]; then
  echo "make goldens: refused in CI, where samples are compared and never written" >&2
  exit 2
fi
.venv/bin/python scripts/docs.py
.venv/bin/python scripts/openapi.py
.venv/bin/python scripts/make_facts.py
TENANTRY_GOLDENS=write .venv/bin/python -m pytest -m golden --quiet "$@"
git status --short -- tests docs platform
