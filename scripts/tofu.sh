#!/bin/sh
# Builds OpenTofu into the user's cache, once for each lock file, and prints where it is.
# It is what the controller in the cluster runs; there are no binaries of it where this must build.
# With --built only what is there already counts: nothing is printed where nothing is.
# Exit status 3: Go is missing.
set -eu
cd "$(dirname "$0")/../tests/platform/terraform/tofu"

if command -v tofu; then
  exit
fi
key=$(cat go.mod go.sum | cksum | cut -d ' ' -f 1)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry/tofu-$key
if [ ! -x "$folder/tofu" ]; then
  [ "${1:-}" != --built ] || exit 0
  command -v go >/dev/null || { echo "OpenTofu needs Go 1.26 or later to be built" >&2; exit 3; }
  mkdir -p "${folder%/*}"
  made=$(mktemp -d "${folder%/*}/making.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags '-s -w' \
    -o "$made/tofu" github.com/opentofu/opentofu/cmd/tofu >&2
  # One step, so that a run beside this one sees all or nothing; the first one wins.
  chmod 755 "$made"
  [ -d "$folder" ] || mv "$made" "$folder"
fi
echo "$folder/tofu"
