#!/bin/sh
# From an empty Gitea to images, chart and module: its workflows, run by nektos/act, build by buildah
# and sign by cosign into a registry on this machine. Its tools are built by the first run; what images stand on is made once, by debootstrap.
# Exit status 3: something that cannot be installed from here is missing.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
for needed in buildah curl debootstrap gcc unshare; do
  command -v "$needed" >/dev/null || {
    echo "test-delivery: $needed is missing: it is a package of Debian's" >&2
    exit 3
  }
done
[ "$(id -u)" -eq 0 ] || {
  echo "test-delivery: images are built in a chroot, which only root can do" >&2
  exit 3
}
"$python" scripts/tool.py registry >/dev/null
"$python" scripts/tool.py cosign >/dev/null
"$python" scripts/tool.py gitea >/dev/null
selection='delivery and not whole'
[ "${WHOLE:-0}" = 0 ] || selection=delivery
exec "$python" -m pytest -m "$selection" tests/delivery "$@"
