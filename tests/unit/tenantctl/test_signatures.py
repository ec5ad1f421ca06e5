"""Which signatures make a release, and which do not."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from support.fleets import a_snapshot
from support.signing import PAYLOAD_TYPE, Signer, as_bundle
from tenantctl.errors import InvalidError
from tenantctl.signatures import read_key, release_keys, verify

DIGEST: Final = f"sha256:{'a' * 64}"
OTHER: Final = f"sha256:{'b' * 64}"
SIGNER: Final = Signer()
STRANGER: Final = Signer("stranger.pub")


def refusal(*bundles: bytes, digest: str = DIGEST) -> str:
    with pytest.raises(InvalidError) as refused:
        verify(digest, bundles, [SIGNER.key])
    return str(refused.value)


def test_a_signature_of_a_known_key_is_taken() -> None:
    """And says whose it is."""
    assert "one.pub" == verify(DIGEST, [SIGNER.bundle(DIGEST)], [STRANGER.key, SIGNER.key])


def test_one_good_signature_is_enough() -> None:
    """While a key is replaced an artefact has two, and others may sign it, too."""
    bundles = [STRANGER.bundle(DIGEST), b"nonsense", SIGNER.bundle(DIGEST)]

    assert "one.pub" == verify(DIGEST, bundles, [SIGNER.key])


def test_what_nobody_signed_is_refused() -> None:
    """In a word."""
    assert "it is not signed" == refusal()


def test_a_stranger_signs_no_release() -> None:
    """Although all else is right; the keys that would do are named."""
    assert "none of the keys one.pub" in refusal(STRANGER.bundle(DIGEST))


def test_a_signature_of_another_digest_is_none_of_this() -> None:
    """Taken from another artefact, it verifies, and says what it is of."""
    assert f"a signature is of {OTHER}" == refusal(SIGNER.bundle(OTHER))


@pytest.mark.parametrize(
    "changes",
    [
        {"predicateType": "https://spdx.dev/Document"},
        {"_type": "https://in-toto.io/Statement/v0.1"},
    ],
)
def test_an_attestation_is_no_release(changes: dict[str, Any]) -> None:
    """An SBOM is signed with the same key, maybe before the release is."""
    assert "an attestation about it" in refusal(SIGNER.bundle(DIGEST, **changes))


@pytest.mark.parametrize(
    "subject",
    [
        [],
        None,
        "sha256",
        [{"digest": {"sha512": "a" * 64}}],
        [{"digest": {"sha256": "a" * 64}}, {"digest": {"sha256": "b" * 64}}],
        [{"name": "chart"}],
    ],
)
def test_a_statement_names_this_digest_alone(subject: Any) -> None:
    """None is nothing, and two are a doubt."""
    assert refusal(SIGNER.bundle(DIGEST, subject=subject)).startswith("a signature is of ")


def test_a_signature_counts_for_its_payloads_type() -> None:
    """The type is signed with the payload: the same bytes as something else are not."""
    payload = SIGNER.statement(DIGEST)

    assert "or was changed" in refusal(
        as_bundle(payload, SIGNER.signature(payload, payload_type="text/plain"))
    )


@given(place=st.floats(min_value=0, max_value=1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_what_is_signed_is_refused(place: float, bit: int) -> None:
    """Wherever it is."""
    payload = SIGNER.statement(DIGEST)
    changed = bytearray(payload)
    changed[int(place * len(changed))] ^= 1 << bit

    refusal(as_bundle(bytes(changed), SIGNER.signature(payload)))


@given(place=st.floats(min_value=0, max_value=1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_signature_is_refused(place: float, bit: int) -> None:
    """Wherever it is."""
    payload = SIGNER.statement(DIGEST)
    changed = bytearray(SIGNER.signature(payload))
    changed[int(place * len(changed))] ^= 1 << bit

    refusal(as_bundle(payload, bytes(changed)))


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["mediaType", "dsseEnvelope", "payload", "signatures", "sig"]),
                    inner,
                )
            ),
        ).map(lambda said: json.dumps(said).encode()),
    )
)
def test_nonsense_is_refused_and_breaks_nothing(bundle: bytes) -> None:
    """A registry may hold anything."""
    assert refusal(bundle).startswith(("a signature ", "an envelope "))


@pytest.mark.parametrize(
    "changes",
    [
        {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1"},
        {"dsseEnvelope": None},
        {"dsseEnvelope": {"payloadType": "text/plain"}},
        {"dsseEnvelope": {"payloadType": PAYLOAD_TYPE, "signatures": []}},
        {"dsseEnvelope": {"payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "é"}]}},
        {"dsseEnvelope": {"payloadType": PAYLOAD_TYPE, "signatures": [1], "payload": ""}},
        {"dsseEnvelope": {"payloadType": PAYLOAD_TYPE, "signatures": [{}, {}], "payload": ""}},
    ],
)
def test_a_bundle_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    """Also an older one: only one form is made here."""
    said = json.loads(SIGNER.bundle(DIGEST)) | changes

    refusal(json.dumps(said).encode())


def test_what_is_signed_may_be_no_statement() -> None:
    """Whoever has the key may sign anything."""
    for payload in (b"[]", b"{", b'{"_type": 1, "subject": 2}'):
        refusal(as_bundle(payload, SIGNER.signature(payload)))


@pytest.mark.parametrize("junk", ["!", "\n", "=", "A"])
def test_an_envelope_is_written_one_way(junk: str) -> None:
    """What a lenient reader skips is no base64: two readers never see two things."""
    said = json.loads(SIGNER.bundle(DIGEST))
    for holder, key in (
        (said["dsseEnvelope"], "payload"),
        (said["dsseEnvelope"]["signatures"][0], "sig"),
    ):
        whole = holder[key]
        holder[key] = junk + whole

        refusal(json.dumps(said).encode())

        holder[key] = whole


def test_a_key_that_a_bundle_brings_counts_for_nothing() -> None:
    """Nor does what it says of logs and certificates."""
    said = json.loads(STRANGER.bundle(DIGEST))
    pem = base64.b64encode(STRANGER.pem).decode()
    said["verificationMaterial"] = {"publicKey": {"hint": "one.pub", "rawBytes": pem}}

    assert "none of the keys" in refusal(json.dumps(said).encode())


def test_an_environments_keys_are_those_of_its_folder() -> None:
    """Several, while one is replaced; the kustomization beside them is none."""
    snapshot = a_snapshot(
        **{
            "keys/dev/2026.pub": SIGNER.pem,
            "keys/dev/2027.pub": STRANGER.pem,
            "keys/dev/kustomization.yaml": b"kind: Kustomization",
            "keys/production/2025.pub": b"not read",
        }
    )

    found = release_keys(snapshot, "dev")

    assert ["2026.pub", "2027.pub"] == [key.name for key in found]
    assert "2027.pub" == verify(DIGEST, [STRANGER.bundle(DIGEST)], found)


def test_without_keys_nothing_is_verified() -> None:
    """And nothing is taken for verified."""
    with pytest.raises(InvalidError, match=r"has no keys/dev/\*\.pub"):
        release_keys(a_snapshot(), "dev")


def test_a_file_that_is_no_key_is_named() -> None:
    """Beside a good one, too: Flux would stop at it."""
    snapshot = a_snapshot(**{"keys/dev/a.pub": SIGNER.pem, "keys/dev/b.pub": b"?"})

    with pytest.raises(InvalidError, match=r"keys/dev/b\.pub: it is no public key"):
        release_keys(snapshot, "dev")


def _public(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


P256: Final = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no public key in PEM"),
        (P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "no public key"),
        (b"\n" + SIGNER.pem, "no public key"),
        (SIGNER.pem.replace(b"M", b"m", 3), "no public key"),
        (SIGNER.pem + b"#" * 2_000, "no public key"),
        (_public(rsa.generate_private_key(65_537, 2_048)), "another key"),
        (_public(ec.generate_private_key(ec.SECP384R1())), "another key"),
    ],
)
def test_what_is_no_key_of_releases_is_refused(data: bytes, why: str) -> None:
    """A private half most of all: it would be in Git for ever."""
    with pytest.raises(InvalidError, match=why):
        read_key("one.pub", data)


def test_a_keys_name_says_that_it_is_public() -> None:
    """Flux looks at no other."""
    with pytest.raises(InvalidError, match=r"ends with \.pub"):
        read_key("one.pem", SIGNER.pem)
