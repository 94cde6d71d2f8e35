"""The API reference: the OpenAPI document that the server serves, as a page to read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from flask import Blueprint, Response, current_app

from server.domain.callers import Caller
from server.web.portal.kit.auth import public_page
from server.web.portal.kit.rendering import render

bp = Blueprint("help_api", __name__, url_prefix="/help/api")
_IN_SCHEMA = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter, or one field of a body. place: `path`, `query`, or that of a body."""

    name: str
    place: str
    kind: str
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: how it is made, what it takes, and what it answers."""

    method: str
    path: str
    summary: str
    takes_token: bool
    needs_token: bool
    takes: list[Field]
    gives: list[Field]
    answers: list[tuple[str, str]]  # status, and media types in words

    @property
    def anchor(self) -> str:
        words = "".join(character if character.isalnum() else " " for character in self.path)
        return "-".join([self.method, *words.split()]).lower()


@bp.get("")
@public_page
def show(caller: Caller) -> Response:  # noqa: ARG001  # a page for everybody
    """Every call, by what it is about."""
    return render("help/api/show.html", groups=_groups(current_app.extensions["openapi"]))


@lru_cache(maxsize=1)
def _groups(document: bytes) -> dict[str, list[Operation]]:
    spec = orjson.loads(document)
    groups: dict[str, list[Operation]] = {}
    for path, methods in sorted(spec["paths"].items()):
        for method, told in sorted(methods.items()):
            groups.setdefault(told["tags"][0], []).append(_operation(spec, method.upper(), path, told))
    return dict(sorted(groups.items()))


def _operation(spec: Any, method: str, path: str, told: Any) -> Operation:
    takes = [_parameter(one) for one in told["parameters"]]
    takes += _fields(spec, told.get("requestBody", {}), "body")
    good = [answer for status, answer in told["responses"].items() if status.startswith("2")]
    return Operation(
        method, path, told.get("summary", ""), bool(told["security"]), {} not in told["security"] != [], takes,
        [field for answer in good for field in _fields(spec, answer, "answer")],
        [(status, _media(answer)) for status, answer in told["responses"].items() if status.isdigit()],
    )  # fmt: skip


def _media(answer: Any) -> str:
    return ", ".join(answer.get("content", ())) or "nothing"


def _parameter(told: Any) -> Field:
    schema = told["schema"]
    return Field(told["name"], told["in"], _kind(schema), told.get("required", False), schema.get("description", ""))


def _fields(spec: Any, holder: Any, place: str) -> Iterator[Field]:
    """The fields of a JSON body, those of objects within it under their path: `files[].path`."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    yield from _within(spec, schema, place, "")


def _within(spec: Any, schema: Any, place: str, before: str) -> Iterator[Field]:
    schema = _resolved(spec, schema)
    for name, told in schema.get("properties", {}).items():
        yield Field(
            f"{before}{name}", place, _kind(told), name in schema.get("required", ()), told.get("description", "")
        )
        for inner, more in _objects(spec, told):
            yield from _within(spec, inner, place, f"{before}{name}{more}.")


def _objects(spec: Any, told: Any) -> Iterator[tuple[Any, str]]:
    for one in told.get("anyOf", [told]):
        inner, more = (one["items"], "[]") if one.get("type") == "array" else (one, "")
        if "properties" in _resolved(spec, inner):
            yield inner, more


def _resolved(spec: Any, schema: Any) -> Any:
    reference = schema.get("$ref", "")
    return spec["components"]["schemas"][reference.removeprefix(_IN_SCHEMA)] if reference else schema


def _kind(schema: Any) -> str:
    """In a word or two: `text`, `whole number`, `list of text`, `text or null`."""
    if "anyOf" in schema:
        return " or ".join(_once(_kind(one) for one in schema["anyOf"]))
    if "$ref" in schema:
        return "object"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return words.get(str(schema.get("type")), str(schema.get("type", "anything")))


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
