#!/bin/sh
# Everything that reads the code without running it, the fastest first. Stops at the first failure.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

step() {
  name=$1
  shift
  "$@" || {
    echo "make check: $name failed" >&2
    exit 1
  }
}

yaml() {
  # Templates of a chart are not YAML before they are rendered.
  files=$(git -c safe.directory='*' ls-files -co --exclude-standard '*.yaml' '*.yml' |
    grep -v '/templates/' || true)
  [ -z "$files" ] || echo "$files" | tr '\n' '\0' | xargs -0 "$bin/yamllint" --strict
}

step "format (make format)" "$bin/ruff" format --check .
step lint "$bin/ruff" check --quiet --output-format concise .
step hygiene "$bin/python" scripts/hygiene.py
step requirements "$bin/python" scripts/locks.py
step yaml yaml
step imports "$bin/lint-imports" --no-logo
step types "$bin/mypy"
echo "make check: all good"
