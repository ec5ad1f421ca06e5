"""Requests to the control plane: what is read, and what is refused by name."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantctl import events
from tenantctl.errors import InvalidError
from tenantctl.events import MAX_BYTES, REQUEST_ID, VERBS, parse_event

SCHEMA: Final[dict[str, Any]] = json.loads(
    (files("tenantctl") / "data" / "event.schema.json").read_text("utf-8")
)
VALIDATOR: Final = jsonschema_rs.validator_for(SCHEMA)
RELEASE: Final = f"1.4.0@sha256:{'a' * 64}"
#: One request of each verb with all that it may hold, but for the three words of each.
WHOLE: Final[dict[str, dict[str, Any]]] = {
    "onboard": {"tenant_id": "acme", "tier": "basic", "pool": "pool-1", "ring": "r1"},
    "offboard": {"tenant_id": "acme", "keep_data": True},
    "deploy": {"tier": "pools", "release": RELEASE, "rings": ["r0", "r1"]},
    "move": {"tenant_id": "acme", "tier": "advanced", "pool": "pool-2", "rollback": False},
    "suspend": {"tenant_id": "acme"},
    "resume": {"tenant_id": "acme"},
    "redrive": {"tenant_id": "acme", "messages": ["a", "b"]},
    "reconcile": {"fix": True},
}


def request(verb: str, **changes: Any) -> dict[str, Any]:
    """A request; None takes a key away."""
    found = {"version": 1, "verb": verb, "request_id": "r-1", **WHOLE.get(verb, {}), **changes}
    return {key: value for key, value in found.items() if value is not None}


def parsed(body: Any) -> events.Event:
    return parse_event(json.dumps(body).encode())


def test_every_verb_has_a_form() -> None:
    """The verbs of the module, of the schema and of this test are the same."""
    assert set(VERBS) == set(WHOLE) == {each["title"] for each in SCHEMA["oneOf"]}


@pytest.mark.parametrize("verb", VERBS)
def test_a_request_is_read(verb: str) -> None:
    """With all that it may hold."""
    event = parsed(request(verb))

    assert (verb, "r-1") == (event.verb, event.request_id)
    assert WHOLE[verb] == {key: getattr(event, key) for key in WHOLE[verb]}


def test_what_was_published_last_is_named_by_nobody() -> None:
    """A request for it has no tier and no release; the schema says so, too."""
    body = request("deploy", tier=None, release=None, rings=None, candidate=True)

    event = parsed(body)

    assert isinstance(event, events.Deploy)
    assert event.candidate
    assert VALIDATOR.is_valid(body)


REFUSED: Final[dict[str, tuple[str, Any]]] = {
    "another version": ("version: this reads", request("suspend", version=2)),
    "a version that is a word": ("version: this reads", request("suspend", version="1")),
    "a version that is true": ("version: this reads", request("suspend", version=True)),
    "no version": ("version: this reads", request("suspend", version=None)),
    "another verb": ("verb: there is none", request("destroy")),
    "no verb": ("verb: there is none", {"version": 1, "request_id": "r-1"}),
    "a verb that is a list": ("verb: there is none", {**request("suspend"), "verb": ["suspend"]}),
    "no id of its own": ("request_id: Field required", request("suspend", request_id=None)),
    "an id with a space": (
        "request_id: String should match",
        request("suspend", request_id="a b"),
    ),
    "a long id": ("request_id: String should match", request("suspend", request_id="a" * 41)),
    "an id with a line's end": ("request_id: String", request("suspend", request_id="a\n")),
    "no tenant": ("tenant_id: Field required", request("suspend", tenant_id=None)),
    "a path": ("tenant_id: .*'../pools/x'", request("suspend", tenant_id="../pools/x")),
    "a reserved name": ("tenant_id: .*'argocd'", request("suspend", tenant_id="argocd")),
    "an option": ("tenant_id: .*'--help'", request("suspend", tenant_id="--help")),
    "a template": ("tenant_id: ", request("suspend", tenant_id="{{workflow.name}}")),
    "a number": ("tenant_id: Input should be a valid string", request("suspend", tenant_id=7)),
    "a key that nobody knows": ("image: Extra inputs", request("suspend", image="evil")),
    "another tier": ("tier: Input should be", request("onboard", tier="gold")),
    "another ring": ("ring: Input should be", request("onboard", ring="r3")),
    "another pool": ("pool: .*'kube-1'", request("onboard", pool="kube-1")),
    "a premium tenant's pool": ("is in no pool", request("onboard", tier="premium")),
    "a move that leads nowhere": ("tier: a move leads", request("move", tier=None, pool=None)),
    "a rollback that leads somewhere": ("rollback: it goes back", request("move", rollback=True)),
    "a tag": ("release: .*is no release", request("deploy", release="1.4.0")),
    "no tier to deploy to": ("tier: Field required", request("deploy", tier=None)),
    "nothing to deploy": ("release: Field required", request("deploy", release=None)),
    "what was published last, of a tier": (
        "candidate: it reaches every tier",
        request("deploy", candidate=True, release=None, rings=None),
    ),
    "no candidate": ("candidate: Input should be True", request("deploy", candidate=False)),
    "another ring to deploy to": (
        "rings.1: Input should be",
        request("deploy", rings=["r0", "x"]),
    ),
    "no ring": ("rings: List should have", request("deploy", rings=[])),
    "a word for a truth": (
        "fix: Input should be a valid boolean",
        request("reconcile", fix="yes"),
    ),
    "a list": ("is a JSON object", []),
    "a number alone": ("is a JSON object", 5),
    "what the Sensor leaves of a large one": ("too large", {"oversized": 99_999}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_request_is_refused_by_name(why: str) -> None:
    """The place is named, in one line."""
    text, body = REFUSED[why]

    with pytest.raises(InvalidError, match=text) as refused:
        parsed(body)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"{", "no JSON"),
        (b'{"version": NaN}', "no NaN"),
        (b'{"version": 1, "version": 1}', "stands twice"),
        (b'{"a": {"b": 1, "b": 2}}', "stands twice"),
        (b"[" * 8_000, "no JSON"),
        (b'{"a":"' + b"x" * MAX_BYTES + b'"}', "may hold 16384"),
    ],
)
def test_what_is_no_json_is_refused(data: bytes, text: str) -> None:
    """Or too much of it, before it is parsed."""
    with pytest.raises(InvalidError, match=text):
        parse_event(data)


# --- the schema says the same -----------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_the_schema_takes_what_is_read(verb: str) -> None:
    """Whole, and with what it must have alone."""
    [form] = [each for each in SCHEMA["oneOf"] if each["title"] == verb]
    whole = request(verb)
    least = {key: value for key, value in whole.items() if key in form["required"]}
    if verb == "move":
        least["tier"] = "premium"
    if verb == "deploy":
        least["candidate"] = True
    for body in (whole, least):
        VALIDATOR.validate(body)
        parsed(body)
    alone = {"candidate"} if verb == "deploy" else set()
    assert set(form["properties"]) == set(whole) | alone


#: Rules that a JSON Schema cannot say, or that are about the text and not what it says.
BEYOND: Final = {"a reserved name", "what the Sensor leaves of a large one"}


@pytest.mark.parametrize("why", sorted(REFUSED.keys() - BEYOND))
def test_the_schema_refuses_what_is_refused(why: str) -> None:
    """So that who sends can find out before."""
    assert not VALIDATOR.is_valid(REFUSED[why][1])


@given(
    st.fixed_dictionaries(
        {
            "version": st.sampled_from([1, 1, 1, 2]),
            "verb": st.sampled_from([*VERBS, "none"]),
            "request_id": st.from_regex(REQUEST_ID, fullmatch=True),
        },
        optional={
            "tenant_id": st.sampled_from(["acme", "a", "ac--me", "harbour-2"]),
            "tier": st.sampled_from(["basic", "premium", "pools", "gold"]),
            "pool": st.sampled_from(["pool-1", "pool", "pool-a-b"]),
            "ring": st.sampled_from(["r0", "r9"]),
            "release": st.sampled_from([RELEASE, "1.4.0", f"01.4.0@sha256:{'a' * 64}"]),
            "rings": st.lists(st.sampled_from(["r0", "r1", "r2"]), max_size=4),
            "rollback": st.booleans(),
            "keep_data": st.booleans(),
            "fix": st.booleans(),
            "messages": st.lists(st.text(max_size=3), max_size=2),
        },
    )
)
def test_schema_and_module_agree(body: dict[str, Any]) -> None:
    """On any request that is made of plausible parts."""
    try:
        parsed(body)
    except InvalidError:
        is_read = False
    else:
        is_read = True

    assert VALIDATOR.is_valid(body) is is_read


# --- the reference implementation's payloads --------------------------------------------------


def of_reference(source: events.Source, body: Any) -> events.Event:
    return parse_event(json.dumps(body).encode(), source=source, request_id="sqs-1")


def test_the_references_onboarding_is_read() -> None:
    """`release_version` is for the ring to say here."""
    body = {"tenant_id": "acme", "tenant_tier": "basic", "release_version": "0.0"}

    event = of_reference("onboarding", body)

    assert event == events.Onboard(request_id="sqs-1", tenant_id="acme", tier="basic")


def test_the_references_offboarding_is_read() -> None:
    """Which tier it is of is known here."""
    event = of_reference("offboarding", {"tenant_id": "acme", "tenant_tier": "premium"})

    assert event == events.Offboard(request_id="sqs-1", tenant_id="acme")


def test_the_references_deployment_is_read() -> None:
    """With a release that names something."""
    event = of_reference("deployment", {"tenant_tier": "premium", "release_version": RELEASE})

    assert event == events.Deploy(request_id="sqs-1", tier="premium", release=RELEASE)


@pytest.mark.parametrize(
    ("source", "body", "text"),
    [
        ("deployment", {"tenant_tier": "basic", "release_version": "0.0"}, "is no release"),
        ("deployment", {"tenant_tier": "gold", "release_version": RELEASE}, "tier: Input"),
        ("deployment", {"release_version": RELEASE}, "tenant_tier: .* needs it"),
        ("onboarding", {"tenant_id": "acme", "tenant_tier": "basic"}, "release_version: "),
        (
            "onboarding",
            {"tenant_id": "../x", "tenant_tier": "basic", "release_version": "0.0"},
            r"tenant_id: .*'\.\./x'",
        ),
        (
            "onboarding",
            {"tenant_id": "acme", "tenant_tier": "basic", "release_version": "0.0; rm -rf /"},
            "is no release",
        ),
        (
            "onboarding",
            {"tenant_id": ["acme"], "tenant_tier": "basic", "release_version": "0.0"},
            "tenant_id: .* as text",
        ),
        ("offboarding", {"tenant_id": "acme"}, "tenant_tier: "),
        ("offboarding", {"tenant_id": "acme", "tenant_tier": "basic", "verb": "x"}, "verb: "),
    ],
)
def test_what_is_no_payload_of_the_reference_is_refused(
    source: events.Source, body: Any, text: str
) -> None:
    """By key, as one of our own is."""
    with pytest.raises(InvalidError, match=text):
        of_reference(source, body)


@pytest.mark.parametrize("source", ["onboarding", "offboarding", "deployment"])
def test_our_own_form_does_not_come_by_the_references_queues(source: events.Source) -> None:
    """A queue is a verb: who may send to one may not ask for another."""
    with pytest.raises(InvalidError):
        of_reference(source, request("offboard"))
