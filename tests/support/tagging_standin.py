"""A stand-in of the Resource Groups Tagging API, for Pod Identity associations alone.

The embedded engine answers `GetResources`, and knows no association in it. This asks the engine's
EKS for them. Honoured: `ResourceTypeFilters` of `eks:podidentityassociation`, `TagFilters` (each
key must have one of its values), the form of the answer. Not: any other type of resource or
operation (an error, as from the original), pages (all is one), the original's delay of minutes,
and who may ask.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

#: What reports of runs call it.
NAME: Final = "stand-in (support.tagging_standin)"

_OPERATION: Final = "ResourceGroupsTaggingAPI_20170126.GetResources"
_TYPE: Final = "eks:podidentityassociation"


@contextmanager
def serve(eks: Any) -> Generator[str, None, None]:
    """Its address, until the block ends; `eks` is a boto3 client of the engine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers.get("X-Amz-Target")
            if operation != _OPERATION or body.get("ResourceTypeFilters") != [_TYPE]:
                self._answer(400, {"__type": "InvalidParameterException", "message": operation})
                return
            found = [
                {"ResourceARN": arn, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
                for arn, tags in _associations(eks)
                if all(tags.get(f["Key"]) in f["Values"] for f in body.get("TagFilters", []))
            ]
            self._answer(200, {"PaginationToken": "", "ResourceTagMappingList": found})

        def _answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, name="tagging stand-in")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _associations(eks: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for cluster in eks.list_clusters()["clusters"]:
        listed = eks.get_paginator("list_pod_identity_associations").paginate(clusterName=cluster)
        for page in listed:
            for one in page["associations"]:
                described = eks.describe_pod_identity_association(
                    clusterName=cluster, associationId=one["associationId"]
                )["association"]
                yield described["associationArn"], described.get("tags", {})
