#!/bin/sh
# The story on a real Kubernetes, in namespaces of its own; all processes end with it, also when it is
# killed. `e2e.sh clean` removes what a killed run left; `e2e.sh keep` only brings the cluster up.
# Exit status 4: another run is at work, or what one left is there; 5: this machine cannot run a node,
# and why was said.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
folder=${TENANTRY_E2E_FOLDER:-/tmp/tenantry-e2e}
export TENANTRY_E2E_FOLDER="$folder" PYTHONPATH="$PWD/tests:$PWD/scripts"

"$python" -m e2e.cluster.needs
# Held by this script and all that it starts, as long as any of it is there.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tenantry
mkdir -p "$cache"
exec 9>"$cache/e2e.lock"
flock --wait 10 9 || {
  echo "make e2e: another run is at work" >&2
  exit 4
}
if [ "${1:-}" = clean ]; then
  exec "$python" -m e2e.cluster.clean "$folder"
fi
[ ! -e "$folder" ] || {
  echo "make e2e: $folder is there: make e2e-clean, if a run that was killed left it" >&2
  exit 4
}
for name in kubernetes coredns registry cosign reconciling crds; do
  "$python" scripts/tool.py "$name" >/dev/null
done
# What needs a network, before there is none.
if [ "${1:-}" = keep ]; then
  "$python" -c 'from delivery import base; base.archive()'
  set -- "$python" -m e2e.cluster.keep "$folder"
else
  "$python" -m e2e.release
  set -- "$python" -m pytest -m e2e tests/e2e "$@"
fi
trap : INT # it is for those inside: what they leave is cleaned here
status=0
unshare --mount --net --pid --uts --ipc --fork --mount-proc --kill-child --propagation=private \
  "$python" tests/e2e/cluster/inside.py "$@" || status=$?
if [ "$status" -ne 0 ]; then
  logs=.tenantry/e2e
  rm -rf "$logs"
  mkdir -p "$logs"
  if [ -d "$folder" ]; then
    find "$folder" -name '*.log' -exec cp {} "$logs" \;
    echo "make e2e: what the processes said is in $logs" >&2
  fi
fi
"$python" -m e2e.cluster.clean "$folder"
exit "$status"
