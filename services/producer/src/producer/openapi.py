"""The description of the two routes that FastAPI does not see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from producer.schemas import Accepted, BatchResults, BatchSubmission, Submission
from tenantry.contract import MESSAGE_ID_PATTERN
from tenantry.limits import IDEMPOTENCY_KEY_CHARACTERS
from tenantry.problems import Problem, problem_responses

_REF = "#/components/schemas/{model}"

#: How a request as a whole is refused. To be over the rate is, in a batch, a message's outcome.
_REFUSED = (400, 401, 403, 408, 413, 415, 422, 503)


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, definitions = models_json_schema(
            [
                (model, "validation")
                for model in (Submission, BatchSubmission, Accepted, BatchResults, Problem)
            ],
            ref_template=_REF,
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(definitions["$defs"])
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        }
        document["paths"] |= {"/messages": _post_message(), "/messages/batch": _post_batch()}
        app.openapi_schema = document
    return app.openapi_schema


def _post_message() -> dict[str, Any]:
    accepted = _json("Accepted", "SQS has the message.")
    accepted["headers"] = {
        "Location": {
            "description": "Where it can be read once it is stored.",
            "required": True,
            "schema": {"type": "string", "pattern": f"^/messages/{MESSAGE_ID_PATTERN}$"},
        }
    }
    return {
        "post": {
            "operationId": "post_message",
            "summary": "Accept one message",
            "description": "From 202 until its queue's retention ends the message is queued, "
            "dead-lettered or stored.",
            "security": [{"token": []}],
            "parameters": [
                tenant_header(),
                {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "The same key always makes the same message id; the payload "
                    "that is stored first stays.",
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": IDEMPOTENCY_KEY_CHARACTERS,
                        "pattern": "^[!-~]+$",
                    },
                },
            ],
            "requestBody": _body("Submission"),
            "responses": {"202": accepted, **_problems(*_REFUSED, 429)},
        }
    }


def _post_batch() -> dict[str, Any]:
    return {
        "post": {
            "operationId": "post_messages",
            "summary": "Accept up to 100 messages",
            "description": "Nothing is accepted when the body itself is not valid.",
            "security": [{"token": []}],
            "parameters": [tenant_header()],
            "requestBody": _body("BatchSubmission"),
            "responses": {
                "202": _json("BatchResults", "SQS has all messages."),
                "207": _json("BatchResults", "One outcome for each message, in order."),
                **_problems(*_REFUSED),
            },
        }
    }


def _problems(*statuses: int) -> dict[str, Any]:
    found = problem_responses(*statuses)
    return {str(status): response for status, response in found.items()}


def _json(model: str, description: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(model: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def tenant_header() -> dict[str, Any]:
    """The parameter of every route."""
    return {
        "name": "tenantID",
        "in": "header",
        "description": "If sent, it must equal the token's tenant.",
        "schema": {"type": "string"},
    }
