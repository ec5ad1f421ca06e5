"""Whether a release was signed with one of the environment's keys.

A signature is what cosign 3 pushes beside an artefact: a Sigstore bundle with a DSSE envelope, in
it an in-toto statement that names the artefact's digest. Keys are the public halves in the fleet,
`keys/<environment>/*.pub`, of which Flux's Secret `release-keys` is made. Nothing is taken from
elsewhere: no certificate, no transparency log, no key that a signature brings.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tenantctl.errors import InvalidError
from tenantctl.snapshot import Snapshot

#: What a bundle is called, as an artefact and in itself.
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
#: How the Secret is called that Flux verifies with.
SECRET: Final = "release-keys"  # noqa: S105 - a name
#: Flux takes no other file of that Secret for a key.
KEY_SUFFIX: Final = ".pub"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_STATEMENT: Final = "https://in-toto.io/Statement/v1"
#: Of `cosign sign`. An SBOM's attestation is signed, too, and says something else.
_PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"
_KEY_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Key:
    """A public half, by the name of its file."""

    name: str
    public: ec.EllipticCurvePublicKey


def keys_folder(environment: str) -> str:
    """Where the fleet has the keys of an environment's releases."""
    return f"keys/{environment}"


def read_key(name: str, data: bytes) -> Key:
    """The key of a file.

    Raises:
        InvalidError: It is no public half of such a key as releases are signed with.
    """
    if not name.endswith(KEY_SUFFIX):
        raise InvalidError(f"a key's name ends with {KEY_SUFFIX}: Flux takes no other")
    is_one = len(data) <= _KEY_BYTES and data.startswith(b"-----BEGIN PUBLIC KEY-----")
    try:
        public = load_pem_public_key(data if is_one else b"")
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidError(
            "it is no public key in PEM: `cosign public-key --key …` prints it"
        ) from None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != "secp256r1":
        raise InvalidError("releases are signed with ECDSA on P-256, and this is another key")
    return Key(name, public)


def release_keys(snapshot: Snapshot, environment: str) -> tuple[Key, ...]:
    """What an environment's releases are verified with.

    Raises:
        InvalidError: There is none, or one is no key; the text names the file.
    """
    folder, found = keys_folder(environment), []
    for path in snapshot.paths(folder):
        if path.endswith(KEY_SUFFIX):
            try:
                found.append(read_key(path.rpartition("/")[2], snapshot.read(path) or b""))
            except InvalidError as error:
                raise InvalidError(f"{path}: {error}") from None
    if not found:
        raise InvalidError(
            f"the fleet has no {folder}/*{KEY_SUFFIX}: no release can be verified. "
            "docs/control-plane.md says how a key comes there"
        )
    return tuple(found)


def verify(digest: str, bundles: Iterable[bytes], keys: Sequence[Key]) -> str:
    """Which key this digest was signed with; one good signature is enough.

    Args:
        digest: Of the artefact, `sha256:…`, as it was computed of what was served.
        bundles: What the registry has as its signatures.
        keys: One of them has to have signed.

    Returns:
        The name of the key.

    Raises:
        InvalidError: None of the bundles is such a signature; the text says what each is.
    """
    reasons: list[str] = []
    for bundle in bundles:
        try:
            return _verify_one(digest, bundle, keys)
        except InvalidError as error:
            if (text := str(error)) not in reasons:
                reasons.append(text)
    if not reasons:
        raise InvalidError("it is not signed")
    raise InvalidError("; ".join(reasons))


def _verify_one(digest: str, bundle: bytes, keys: Sequence[Key]) -> str:
    payload, signature = _opened(bundle)
    signed = f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} ".encode() + payload
    name = next((key.name for key in keys if _is_of(key, signature, signed)), None)
    if name is None:
        known = ", ".join(key.name for key in keys)
        raise InvalidError(f"a signature is of none of the keys {known}, or was changed")
    statement = _read(payload, "a signed statement")
    if statement.get("_type") != _STATEMENT or statement.get("predicateType") != _PREDICATE:
        raise InvalidError("what is signed is an attestation about it, and no release of it")
    subjects = statement.get("subject")
    named = [
        each["digest"].get("sha256")
        for each in (subjects if isinstance(subjects, list) else [])
        if isinstance(each, Mapping) and isinstance(each.get("digest"), Mapping)
    ]
    if named != [digest.removeprefix("sha256:")]:
        other = ", ".join(f"sha256:{each}" for each in named) or "nothing"
        raise InvalidError(f"a signature is of {other}")
    return name


def _opened(bundle: bytes) -> tuple[bytes, bytes]:
    """What a bundle signs, and the signature of it."""
    said = _read(bundle, "a signature")
    envelope = said.get("dsseEnvelope")
    if said.get("mediaType") != BUNDLE or not isinstance(envelope, Mapping):
        raise InvalidError(f"a signature is no {BUNDLE} with an envelope")
    signatures = envelope.get("signatures")
    if (
        envelope.get("payloadType") != _PAYLOAD_TYPE
        or not isinstance(signatures, list)
        or len(signatures) != 1
        or not isinstance(signatures[0], Mapping)
    ):
        raise InvalidError(f"an envelope holds one signature, of {_PAYLOAD_TYPE}")
    return _decoded(envelope.get("payload")), _decoded(signatures[0].get("sig"))


def _decoded(text: object) -> bytes:
    try:
        data = base64.b64decode(text if isinstance(text, str) else "-", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError("an envelope's payload and signature are base64") from None
    return data


def _is_of(key: Key, signature: bytes, signed: bytes) -> bool:
    try:
        key.public.verify(signature, signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _read(data: bytes, what: str) -> Mapping[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidError(f"{what} is no JSON") from None
    if not isinstance(said, Mapping):
        raise InvalidError(f"{what} is no object")
    return said
