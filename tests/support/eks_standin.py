"""A stand-in in front of the embedded engine's EKS: it remembers what the engine leaves out.

The engine takes `CreateCluster` and `CreateNodegroup`, and describes less than it was told. This
passes every request on, and puts into the answers what was asked for, as the original answers.
Honoured: the fields of `_OF_CLUSTER` and `_OF_NODE_GROUP`, the cluster's security group (made in
the engine that has EC2, with the tag of the original), a public endpoint's ranges. Not: changes of
these fields later, what EKS checks of them, and everything that a cluster does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

#: What reports of runs call it.
NAME: Final = "stand-in (support.eks_standin)"

_OF_CLUSTER: Final = ("upgradePolicy", "bootstrapSelfManagedAddons")
_OF_NODE_GROUP: Final = ("launchTemplate", "updateConfig")
_CLUSTER: Final = re.compile(r"/clusters(?:/([^/]+))?")
_NODE_GROUP: Final = re.compile(r"/clusters/([^/]+)/node-groups(?:/([^/]+))?")


@contextmanager
def serve(engine_url: str, ec2: Any) -> Generator[str, None, None]:
    """Its address, until the block ends.

    Args:
        engine_url: Of the engine whose EKS this is.
        ec2: A boto3 client of the engine that has EC2.
    """
    told: dict[str, dict[str, Any]] = {}
    address = urlsplit(engine_url)

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            if self.command == "POST":
                _remember(told, path, json.loads(content or b"{}"), ec2)
            connection = HTTPConnection(address.hostname or "", address.port, timeout=30)
            connection.request(self.command, self.path, content, dict(self.headers))
            answer = connection.getresponse()
            body = _completed(told, path, answer.read())
            connection.close()
            if self.command == "DELETE" and answer.status == HTTPStatus.OK:
                _forget(told, path, ec2)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815 - the base's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, name="eks stand-in")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _remember(told: dict[str, dict[str, Any]], path: str, body: dict[str, Any], ec2: Any) -> None:
    if _CLUSTER.fullmatch(path) and path == "/clusters":
        name, network = body["name"], body["resourcesVpcConfig"]
        subnets = ec2.describe_subnets(SubnetIds=network["subnetIds"])["Subnets"]
        group = ec2.create_security_group(
            GroupName=f"eks-cluster-sg-{name}", Description=name, VpcId=subnets[0]["VpcId"]
        )["GroupId"]
        ec2.create_tags(Resources=[group], Tags=[{"Key": "aws:eks:cluster-name", "Value": name}])
        told[f"/clusters/{name}"] = {
            **{field: body[field] for field in _OF_CLUSTER if field in body},
            "resourcesVpcConfig": {
                "clusterSecurityGroupId": group,
                "vpcId": subnets[0]["VpcId"],
                "publicAccessCidrs": network.get("publicAccessCidrs", []),
            },
        }
    if (found := _NODE_GROUP.fullmatch(path)) and found[2] is None:
        told[f"{path}/{body['nodegroupName']}"] = {
            field: body[field] for field in _OF_NODE_GROUP if field in body
        }


def _completed(told: dict[str, dict[str, Any]], path: str, content: bytes) -> bytes:
    try:
        answer = json.loads(content)
    except ValueError:
        return content
    for kind, name in (("cluster", "name"), ("nodegroup", "nodegroupName")):
        if isinstance(answer, dict) and isinstance(thing := answer.get(kind), dict):
            where = f"{path.removesuffix('/' + thing[name])}/{thing[name]}"
            for field, value in told.get(where, {}).items():
                both = isinstance(value, dict) and isinstance(thing.get(field), dict)
                thing[field] = {**thing[field], **value} if both else value
    return json.dumps(answer).encode()


def _forget(told: dict[str, dict[str, Any]], path: str, ec2: Any) -> None:
    gone = told.pop(path, {})
    if group := gone.get("resourcesVpcConfig", {}).get("clusterSecurityGroupId"):
        ec2.delete_security_group(GroupId=group)
