"""The committed OpenAPI documents: as the routes are, and whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import openapi
from fakes.producer import ProducerApp, a_submission
from tenantry.errors import NotAcceptedError
from tenantry.limits import BATCH_MESSAGES, IDEMPOTENCY_KEY_CHARACTERS

DOCUMENTS = {
    "producer": openapi.describe_producer,
    "consumer": openapi.describe_consumer,
}


class Golden(Protocol):
    def __call__(self, name: str, actual: str) -> None: ...


@pytest.mark.parametrize("service", DOCUMENTS)
def test_the_committed_document_is_the_generated_one(service: str, golden: Golden) -> None:
    """Whoever changes a route changes its document with it."""
    name = f"docs/openapi/{service}.json"

    golden(name, openapi.documents()[name])


def found(node: Any, key: str) -> Iterator[Any]:
    """Every value of this key, at any depth."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from found(child, key)


@pytest.fixture(params=DOCUMENTS)
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One service's document, as JSON has it."""
    made: dict[str, Any] = json.loads(json.dumps(DOCUMENTS[request.param]()))
    return made


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """No schema is referred to that the document does not hold, and none is held in vain."""
    named = {re.sub("^#/components/schemas/", "", ref) for ref in found(document, "$ref")}

    assert named == set(document["components"]["schemas"])


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    """Generated clients have one method for each operation, with words for people."""
    names = list(found(document["paths"], "operationId"))

    assert len(names) == len(set(names)) >= 3
    assert len(names) == len(list(found(document["paths"], "summary")))


def test_who_needs_a_token_says_so(document: dict[str, Any]) -> None:
    """Each operation names the scheme, which is there; who serves is told without a token too."""
    for path, item in document["paths"].items():
        for operation in item.values():
            none: list[Any] = [] if path.startswith("/messages") else [{}]
            wanted = [*none, {"token": []}]
            assert wanted == operation.get("security"), path
    assert {"token"} == set(document["components"]["securitySchemes"])


def test_no_problem_of_the_framework_is_told(document: dict[str, Any]) -> None:
    """Every response of 400 and above is a problem; a framework's own shapes are not there."""
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                kind = "application/problem+json" if int(status) >= 400 else "application/json"
                assert [kind] == list(response["content"])
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_the_document_knows_the_limits() -> None:
    """What the schemas say of sizes is what is enforced."""
    document = openapi.describe_producer()
    schemas = document["components"]["schemas"]
    messages = schemas["BatchSubmission"]["properties"]["messages"]
    [key] = [
        parameter
        for parameter in document["paths"]["/messages"]["post"]["parameters"]
        if parameter["name"] == "Idempotency-Key"
    ]

    assert (1, BATCH_MESSAGES) == (messages["minItems"], messages["maxItems"])
    assert (1, IDEMPOTENCY_KEY_CHARACTERS) == (
        key["schema"]["minLength"],
        key["schema"]["maxLength"],
    )
    assert schemas["Submission"]["additionalProperties"] is False


async def test_answers_have_the_shape_that_is_told(producer: ProducerApp) -> None:
    """The fields of real answers are the schemas' fields, and none that is required is missing."""
    schemas = producer.app.openapi()["components"]["schemas"]

    def fits(value: dict[str, Any], *names: str) -> bool:
        return any(
            set(schemas[name].get("required", ()))
            <= set(value)
            <= set(schemas[name]["properties"])
            for name in names
        )

    one = await producer.post()
    outcomes = [None, NotAcceptedError("too much waits")]
    producer.publisher.outcome = lambda _: outcomes.pop(0)
    batch = await producer.post("/messages/batch", {"messages": [a_submission(), a_submission()]})
    bad = await producer.post(body={})

    assert fits(one.json, "Accepted")
    assert fits(batch.json, "BatchResults")
    assert [True, False] == [fits(entry, "BatchAccepted") for entry in batch.json["results"]]
    assert all(fits(entry, "BatchAccepted", "Problem") for entry in batch.json["results"])
    assert fits(bad.json, "Problem")


def test_the_script_says_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It writes what differs, `--check` names it, and in CI nothing is written."""
    monkeypatch.setattr(openapi, "ROOT", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    assert 1 == openapi.main(["--check"])
    assert "docs/openapi/producer.json is not what the code says" in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())
    assert 0 == openapi.main([])
    assert 0 == openapi.main(["--check"])
    monkeypatch.setenv("CI", "true")
    (tmp_path / "docs/openapi/consumer.json").write_text("{}")
    assert 2 == openapi.main([])
    assert 1 == openapi.main(["--check"])
    assert "{}" == (tmp_path / "docs/openapi/consumer.json").read_text()
