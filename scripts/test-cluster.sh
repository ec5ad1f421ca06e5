#!/bin/sh
# What the chart renders and what the fleet admits and starts, on a real API server; alerts, by
# promtool; signatures, by cosign. Built by the first run.
# Exit status 3: Go is missing, on a person's machine. In CI that is a failure.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
"$python" scripts/tool.py kubernetes etcd kube-apiserver kube-controller-manager kube-scheduler kubectl >/dev/null
"$python" scripts/tool.py crds >/dev/null
"$python" scripts/tool.py events >/dev/null
"$python" scripts/tool.py notices >/dev/null
"$python" scripts/tool.py reconciling >/dev/null
"$python" scripts/tool.py promtool >/dev/null
"$python" scripts/tool.py cosign >/dev/null
# Two at a time, each with an API server of its own: much of it is waiting for one.
exec "$python" -m pytest -m cluster --numprocesses 2 --dist loadfile tests/cluster "$@"
