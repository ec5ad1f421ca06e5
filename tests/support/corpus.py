"""The corpus of attacks, and what must hold for any bytes: shared by tests and fuzzers.

`tests/corpus/KIND/VERDICT/NAME`: the kind is `json`, `envelopes` or `tokens`; the verdict what
becomes of it; the name what it attacks. A check returns the verdict. It raises AssertionError
where something was kept that cannot be, or was changed; whatever else it raises is an error
that nobody documented.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jwt

from fakes.issuer import AUDIENCE, ISSUER
from tenantry.contract import decode, dump_json, parse_json
from tenantry.errors import InvalidMessageError, MalformedBodyError, UnauthenticatedError
from tenantry.jwks import KeySet
from tenantry.tenancy import TokenIdentity

CORPUS: Final = Path(__file__).resolve().parents[1] / "corpus"

KEPT: Final = "kept"
INVALID: Final = "invalid"
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"

_SQS_TAKES = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def files(kind: str) -> list[Path]:
    """Every attack of a kind."""
    return sorted(path for path in (CORPUS / kind).glob("*/*") if path.is_file())


def header_of(token: bytes) -> bytes:
    """What stands in the first part of a token, as far as it is base64."""
    head = token.partition(b".")[0]
    try:
        return base64.urlsafe_b64decode(head + b"=" * (-len(head) % 4))
    except ValueError:
        return head


def strictly(value: Any) -> Any:
    """Something that is equal only for equal values of the same types, -0.0 and 0.0 apart."""
    if isinstance(value, dict):
        return ("object", {key: strictly(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return ("array", [strictly(inner) for inner in value])
    return (type(value), value.hex() if isinstance(value, float) else value)


def check_json(body: bytes) -> str:
    """What is kept is what the standard library reads, also after it was written again."""
    try:
        value = parse_json(body)
    except MalformedBodyError:
        return MALFORMED
    except InvalidMessageError as error:
        _check_pointer(error)
        return INVALID
    expected = strictly(_by_the_standard_library(body))
    assert expected == strictly(value), "changed by parsing"
    text = dump_json(value)
    assert _SQS_TAKES.fullmatch(text), "not what SQS takes"
    assert expected == strictly(json.loads(text)), "changed by writing"
    assert expected == strictly(parse_json(text.encode())), "changed by parsing again"
    return KEPT


def check_envelope(body: bytes) -> str:
    """What is kept has the sender's fields, and is the same after it was sent again."""
    try:
        message = decode(body)
    except MalformedBodyError:
        return MALFORMED
    except InvalidMessageError as error:
        _check_pointer(error)
        return INVALID
    sent = _by_the_standard_library(body)
    names = ("version", "message_id", "tenant_id", "type", "accepted_at")
    assert [sent[name] for name in names] == [getattr(message, name) for name in names]
    assert strictly(sent["payload"]) == strictly(json.loads(message.payload)), "changed"
    again = message.body()
    assert _SQS_TAKES.fullmatch(again), "not what SQS takes"
    assert message == decode(again.encode()), "changed by sending again"
    assert set(json.loads(again)) == {*names, "payload"}, "a field broke out of its place"
    return KEPT


class Verifier:
    """Tokens against the corpus's one published key; nothing is fetched."""

    def __init__(self) -> None:
        [jwk] = json.loads((CORPUS / "tokens" / "jwks.json").read_text("utf-8"))["keys"]
        keys = KeySet("", clock=lambda: 0.0)
        keys._keys = {jwk["kid"]: jwt.PyJWK(jwk)}
        keys._fetched_at = keys._tried_at = 0.0
        self._identity = TokenIdentity(
            keys, issuer=ISSUER, audience=AUDIENCE, algorithms=("RS256",), claim="tenant_id"
        )

    def check(self, token: bytes) -> str:
        """A token names the one tenant that the corpus's issuer signed for, or is refused."""
        # Nothing in it waits, so no event loop is needed.
        verifying = self._identity.tenant([(b"authorization", b"Bearer " + token)])
        try:
            verifying.send(None)
        except UnauthenticatedError as error:
            _check_quotes_nothing(error, token)
            return REFUSED
        except StopIteration as done:
            return _of_the_tenant(done.value)
        finally:
            verifying.close()
        raise AssertionError("the verifier waited for something")

    def check_header(self, raw: bytes) -> str:
        """The same for a token whose header is these bytes; its signature never fits."""
        head = base64.urlsafe_b64encode(raw).rstrip(b"=")
        verdict = self.check(head + b".e30." + b"A" * 342)
        assert verdict == REFUSED, "a signature of zeros verified"
        return verdict


def _by_the_standard_library(body: bytes) -> Any:
    """The value as an independent parser reads it."""
    return json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a key that came twice was kept"
    return found


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} was kept")


def _check_quotes_nothing(error: UnauthenticatedError, token: bytes) -> None:
    parts = [part for part in token.split(b".") if len(part) > 8]
    assert not any(part in error.detail.encode() for part in parts), "quotes the token"


def _of_the_tenant(tenant: object) -> str:
    assert tenant == "acme", "another tenant"
    return KEPT


def _check_pointer(error: InvalidMessageError) -> None:
    if error.pointer:
        assert error.pointer.startswith("/"), "no JSON pointer"
        assert not list(_loose_tildes(error.pointer)), "no JSON pointer"


def _loose_tildes(pointer: str) -> Iterator[str]:
    return (match[0] for match in re.finditer("~[^01]|~$", pointer))
