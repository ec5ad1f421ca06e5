#!/bin/sh
# What the chart renders and what the fleet admits and starts, on a real API server. Built by the
# first run.
# Exit status 3: Go is missing, on a person's machine. In CI that is a failure.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
"$python" scripts/tool.py kubernetes etcd kube-apiserver kube-controller-manager kubectl >/dev/null
"$python" scripts/tool.py crds >/dev/null
"$python" scripts/tool.py events >/dev/null
exec "$python" -m pytest -m cluster tests/cluster "$@"
