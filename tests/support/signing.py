"""Signatures of releases as cosign 3 makes them, made here; and wrong ones."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.oci_registry import MEDIA_TYPE, OciRegistry
from tenantctl.signatures import BUNDLE, Key

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"


class Signer:
    """Somebody with a key."""

    def __init__(self, name: str = "one.pub") -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.key = Key(name, self._private.public_key())

    @property
    def pem(self) -> bytes:
        """The public half, as it is in the fleet."""
        return self.key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def statement(self, digest: str, **changes: Any) -> bytes:
        """What says that this digest is a release."""
        said = {
            "_type": STATEMENT,
            "subject": [{"digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicateType": PREDICATE,
            "predicate": {},
        }
        return json.dumps(said | changes).encode()

    def signature(self, payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
        """Of a payload in an envelope."""
        signed = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload
        return self._private.sign(signed, ec.ECDSA(SHA256()))

    def bundle(self, digest: str, **changes: Any) -> bytes:
        """A signature of this digest; what its statement says may be changed."""
        payload = self.statement(digest, **changes)
        return as_bundle(payload, self.signature(payload))

    def sign(self, registry: OciRegistry, repository: str, digest: str, **changes: Any) -> str:
        """Push a signature; the digest of the bundle."""
        bundle = self.bundle(digest, **changes)
        push(registry, repository, digest, bundle)
        return registry.blob(repository, bundle)


def as_bundle(payload: bytes, signature: bytes) -> bytes:
    """A bundle of what is signed, and what is said to be its signature."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    material = {"publicKey": {"hint": ""}}
    said = {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}
    return json.dumps(said).encode()


def push(registry: OciRegistry, repository: str, digest: str, bundle: bytes) -> str:
    """Let a bundle refer to an artefact, with the API or without; the digest of its manifest."""
    referrer = registry.store(
        repository,
        [(BUNDLE, bundle)],
        artifactType=BUNDLE,
        subject={"mediaType": MEDIA_TYPE, "digest": digest, "size": 1},
    )
    tag = digest.replace(":", "-")
    listed = json.loads(registry.manifests.get((repository, tag), b'{"manifests": []}'))
    listed["manifests"].append({"artifactType": BUNDLE, "digest": referrer, "size": 1})
    registry.manifests[repository, tag] = json.dumps(listed).encode()
    return referrer
