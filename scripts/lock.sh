#!/bin/sh
# Resolves every requirement anew and writes requirements/*.txt: pins with hashes, no addresses.
# uv.lock records where each file was found, so it stays out of the repository.
set -eu
cd "$(dirname "$0")/.."
uv=${UV:-uv}
export UV_CUSTOM_COMPILE_COMMAND="make lock" UV_PYTHON_DOWNLOADS=never
"$uv" lock --quiet "$@"
for package in tenantry-producer tenantry-consumer tenantctl tenantry-loadtests; do
  "$uv" export --quiet --frozen --no-dev --no-emit-workspace --package "$package" \
    --format requirements-txt --output-file "requirements/${package#tenantry-}.txt"
done
"$uv" export --quiet --frozen --only-group dev --no-emit-workspace \
  --format requirements-txt --output-file requirements/dev.txt
for apart in engine lint; do
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links "requirements/$apart.in" --output-file "requirements/$apart.txt"
done
