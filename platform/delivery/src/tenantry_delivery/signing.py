"""Signatures and what else is said of a digest, by cosign, with one key.

No transparency log, no time stamps, no certificates (docs/adr/0019): the two files beside this
project's public documents say so to cosign, which asks nobody.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tenantry_delivery.content import canonical
from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.programs import run
from tenantry_delivery.registry import Registry

#: Where they are in the repository.
FOLDER: Final = "platform/signing"
SBOM: Final = "cyclonedx"
PROVENANCE: Final = "slsaprovenance1"
_SIGNATURE: Final = "https://sigstore.dev/cosign/sign/v1"
#: What cosign says of what nobody signed, and of what somebody else did.
_UNSIGNED: Final = ("no signatures found", "no matching signatures", "failed to verify signature")


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, in one registry.

    Attributes:
        registry: Where.
        key: As cosign names it: `awskms:///alias/tenantry-signing`, or a file, whose password is
            in COSIGN_PASSWORD.
        public: Its public half, asked for once.
        services: The folder with `signing-config.json` and `trusted-root.json`.
    """

    registry: Registry
    key: str
    public: bytes
    services: Path

    @classmethod
    def of(cls, registry: Registry, key: str, services: Path) -> Self:
        """With a key that there is.

        Raises:
            DeliveryError: There is no such key, or it cannot be opened.
        """
        try:
            public = run("cosign", "public-key", "--key", key)
        except FailedError as error:
            raise DeliveryError(
                f"there is no signing with {key}: a file, with its password in "
                f"COSIGN_PASSWORD, or awskms:///alias/…\n{error}"
            ) from None
        return cls(registry, key, public, services)

    def is_signed(self, repository: str, digest: str) -> bool:
        """Whether a digest has a signature of this key; what else the key said of it is none.

        Raises:
            FailedError: The registry does not say.
        """
        with tempfile.NamedTemporaryFile(suffix=".pub") as file:
            file.write(self.public)
            file.flush()
            try:
                said = run(
                    *("cosign", "verify", "--key", file.name, "--insecure-ignore-tlog"),
                    *(*self._places(), "--output=json", self._reference(repository, digest)),
                )
            except FailedError as error:
                if any(text in str(error) for text in _UNSIGNED):
                    return False
                raise
        # To cosign an attestation of the same key is a signature, too.
        told = [each["critical"] for each in json.loads(said)]
        return any(
            each["type"] == _SIGNATURE and each["image"]["docker-manifest-digest"] == digest
            for each in told
        )

    def attest(
        self, repository: str, digest: str, kind: str, predicate: Mapping[str, Any]
    ) -> None:
        """Say something of a digest.

        Raises:
            FailedError: cosign failed.
        """
        with tempfile.TemporaryDirectory(prefix="tenantry-") as scratch:
            path = Path(scratch) / "predicate.json"
            path.write_bytes(canonical(predicate))
            run(
                *("cosign", "attest", "--yes", "--key", self.key, *self._services()),
                *("--type", kind, "--predicate", str(path), *self._places()),
                self._reference(repository, digest),
            )

    def sign(self, repository: str, digest: str) -> None:
        """Sign a digest.

        Raises:
            FailedError: cosign failed.
        """
        run(
            *("cosign", "sign", "--yes", "--key", self.key, *self._services(), *self._places()),
            self._reference(repository, digest),
        )

    def _services(self) -> tuple[str, ...]:
        return (
            *("--signing-config", str(self.services / "signing-config.json")),
            *("--trusted-root", str(self.services / "trusted-root.json")),
        )

    def _places(self) -> tuple[str, ...]:
        return ("--allow-http-registry",) if self.registry.is_plain else ()

    def _reference(self, repository: str, digest: str) -> str:
        return f"{self.registry.host}/{repository}@{digest}"
