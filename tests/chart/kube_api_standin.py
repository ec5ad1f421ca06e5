"""Stands in for an API server that Helm's `lookup` asks: what is there, by GET, and no more.

It honours discovery of the core group, and reads of namespaces and ConfigMaps by name; a name
that is not there is 404, as from the original. It takes no write, no list and no credentials.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

_RESOURCES = [
    {"name": "namespaces", "namespaced": False, "kind": "Namespace", "verbs": ["get"]},
    {"name": "configmaps", "namespaced": True, "kind": "ConfigMap", "verbs": ["get"]},
]


@contextmanager
def kube_api(objects: list[dict[str, Any]]) -> Generator[str, None, None]:
    """A kubeconfig of a cluster that holds these namespaces and ConfigMaps."""
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.4"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": _RESOURCES},
    }
    for each in objects:
        metadata = each["metadata"]
        if each["kind"] == "Namespace":
            answers[f"/api/v1/namespaces/{metadata['name']}"] = each
        elif each["kind"] == "ConfigMap":
            path = f"/api/v1/namespaces/{metadata['namespace']}/configmaps/{metadata['name']}"
            answers[path] = each

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            missing = {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
            body = json.dumps(answers.get(path, missing)).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "here",
                        "cluster": {"server": f"http://127.0.0.1:{server.server_port}"},
                    }
                ],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "nobody"}}],
                "current-context": "here",
            }
        )
        server.shutdown()
        thread.join()
