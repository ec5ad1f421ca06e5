"""A stand-in of EKS Pod Identity: its webhook, its agent on every node, and EKS Auth behind it.

Honours: the webhook gives the agent's address and a token to pods of an account that has an
association when they are made, leaves alone what a container says itself, and is passed over where
it does not answer; the agent takes a token of audience `pods.eks.amazonaws.com`, which the API
server vouches for, and gives a session of the association's role with the session tags of EKS,
through that role's trust policy, for six hours. Does not: refuse by node, cache, or delay an
association, which EKS spreads within seconds.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final

from e2e.aws import CLUSTER_ARN, REGION, Aws
from e2e.cluster.inside import ADDRESS, POD_IDENTITY
from iam.gate import GateError
from support.cluster import Cluster

NAME: Final = "stand-in (e2e.pod_identity_standin)"
AUDIENCE: Final = "pods.eks.amazonaws.com"
_VOLUME: Final = "eks-pod-identity-token"
_FOLDER: Final = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
_URI: Final = f"http://{POD_IDENTITY}/v1/credentials"
_FILE: Final = f"{_FOLDER}/{_VOLUME}"
_SET: Final = {
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": _URI,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": _FILE,
}
_ACCOUNT: Final = "system:serviceaccount:"
#: What the API server says of a token that is bound to a pod.
_POD: Final = {"authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"}


@contextmanager
def serving(cluster: Cluster, aws: Aws) -> Generator[None]:
    """Webhook and agent, until the block ends."""
    lock = Lock()

    class Webhook(_Handler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            request = review["request"]
            pod = request["object"]
            account = pod["spec"].get("serviceAccountName", "default")
            answer: dict[str, Any] = {"uid": request["uid"], "allowed": True}
            with lock:
                role = aws.role_of(request["namespace"], account)
            if role is not None and (patch := patched(pod["spec"])):
                answer["patchType"] = "JSONPatch"
                answer["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
            self.answer(200, {**review, "request": None, "response": answer})

    class Agent(_Handler):
        def do_GET(self) -> None:
            token = self.headers.get("Authorization", "")
            if self.path != "/v1/credentials" or not token:
                self.answer(400, {"message": "a token of a service account is needed"})
                return
            with lock:
                self.answer(*_credentials(api, aws, token))

    pair = cluster.serving("pod-identity", ADDRESS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with ExitStack() as stack:
        api = stack.enter_context(cluster.beside())
        port = stack.enter_context(_listening(Webhook, (ADDRESS, 0), context))
        stack.enter_context(_listening(Agent, (POD_IDENTITY, 80)))
        answer = cluster.apply(_configuration(cluster, port), dry_run=False)
        assert answer.ok, answer.message
        yield


def patched(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the webhook adds to a pod, as a JSON patch; nothing where all is there."""
    volume = {
        "name": _VOLUME,
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": AUDIENCE,
                        "expirationSeconds": 86_400,
                        "path": _VOLUME,
                    }
                }
            ]
        },
    }
    found: list[dict[str, Any]] = []
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(spec.get(kind, [])):
            told = {each["name"] for each in container.get("env", [])}
            if told & _SET.keys():
                continue
            env = [{"name": name, "value": value} for name, value in _SET.items()]
            if not told & {"AWS_REGION", "AWS_DEFAULT_REGION"}:
                env += [
                    {"name": f"AWS_{part}REGION", "value": REGION} for part in ("", "DEFAULT_")
                ]
            mount = {"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True}
            place = f"/spec/{kind}/{number}"
            for key, more in (("env", env), ("volumeMounts", [mount])):
                value = [*container.get(key, []), *more]
                found.append({"op": "add", "path": f"{place}/{key}", "value": value})
    if found and _VOLUME not in {each["name"] for each in spec.get("volumes", [])}:
        value = [*spec.get("volumes", []), volume]
        found.append({"op": "add", "path": "/spec/volumes", "value": value})
    return found


def _credentials(api: Cluster, aws: Aws, token: str) -> tuple[int, dict[str, Any]]:
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {},
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }
    status = api.create(review).body.get("status", {})
    if not status.get("authenticated"):
        return 400, {"message": f"the token is none: {status.get('error', 'refused')}"}
    user = status["user"]
    extra = user.get("extra", {})
    is_of_a_pod = _POD <= extra.keys() and user["username"].startswith(_ACCOUNT)
    if not is_of_a_pod or AUDIENCE not in status.get("audiences", []):
        return 400, {"message": "the token is of no pod, or for somebody else"}
    namespace, account = user["username"].removeprefix(_ACCOUNT).split(":")
    role = aws.role_of(namespace, account)
    if role is None:
        return 404, {"message": f"no association for {account} of {namespace}"}
    try:
        given = aws.gate.pod(
            role,
            cluster_arn=CLUSTER_ARN,
            namespace=namespace,
            account=account,
            name=extra["authentication.kubernetes.io/pod-name"][0],
            uid=extra["authentication.kubernetes.io/pod-uid"][0],
        )
    except GateError as error:
        return 403, {"message": str(error)}
    return 200, aws.door.issue(given).answer(aws.gate.account)


def _configuration(cluster: Cluster, port: int) -> dict[str, Any]:
    bundle = base64.b64encode(cluster.authority.read_bytes()).decode()
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "pod-identity-webhook"},
        "webhooks": [
            {
                "name": "iam-for-pods.amazonaws.com",
                "clientConfig": {"url": f"https://{ADDRESS}:{port}/mutate", "caBundle": bundle},
                "rules": [
                    {
                        "operations": ["CREATE"],
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["pods"],
                    }
                ],
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: Mapping[str, Any]) -> None:
        """JSON, with this status."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def _listening(
    handler: type[_Handler], where: tuple[str, int], context: ssl.SSLContext | None = None
) -> Generator[int]:
    with ThreadingHTTPServer(where, handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,), name=handler.__name__)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
