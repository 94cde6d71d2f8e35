"""The description: a valid OpenAPI document that says what the routes do, no more and no less."""

import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from openapi_spec_validator import validate

from server.web import app as web
from server.web.api import description, downloads
from tests.findings import report
from tests.world import World

METHODS = {"get", "post", "put", "patch", "delete"}
NAMES = {
    "model": "mini-gpt", "stage": "base", "checkpoint": "main", "download_id": "01a2085b-32d1-7f32-b637-be648e3e2e95",
    "attachment_id": 99, "decision_id": 99, "finding_id": 99, "upload_id": 99,
}  # fmt: skip


def document(world: World) -> dict[str, Any]:
    answer = world.api("GET", "/openapi.json", None)
    assert answer.mimetype == "application/json"
    body: dict[str, Any] = answer.json
    return body


def operations(spec: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def require_schema(spec: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raise unless the value is what the document's schema says."""
    jsonschema.Draft202012Validator({**schema, "components": spec["components"]}).validate(value)


def test_the_committed_document_is_what_the_code_gives(sqlite_world: World) -> None:
    """A route or a schema that changed shows in review: run `python docs/openapi.py`."""
    app = web.create(sqlite_world.use)
    assert description.PATH.read_bytes() == description.generated(app)


def test_it_is_valid(sqlite_world: World) -> None:
    """By the specification's own schema."""
    validate(document(sqlite_world))


def test_it_describes_exactly_the_routes(sqlite_world: World) -> None:
    """Every route of the API with every method, and nothing that is not there."""
    every = sqlite_world.client.application.url_map.iter_rules()
    rules = [rule for rule in every if rule.rule.startswith("/api/v1/")]
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document(sqlite_world))) == routes


def test_every_operation_says_who_may_call_it_and_how_it_refuses(sqlite_world: World) -> None:
    """A bearer token where one is needed, and the same problem for whatever goes wrong."""
    spec = document(sqlite_world)
    assert spec["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for (path, method), operation in operations(spec).items():
        assert operation["summary"].strip(), path
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}, path
        assert "422" not in operation["responses"], path
        anonymous = sqlite_world.api(method.upper(), path.removeprefix("/api/v1").format(**NAMES), None)
        if operation["security"] == [{"token": []}]:
            assert anonymous.status_code == 401, path


@pytest.mark.parametrize("token", ["cleared", "uncleared", "admin", "auditor", None])
def test_every_answer_is_as_described(sqlite_world: World, token: str | None) -> None:
    """For each GET, the real answer of the example, refusals too, has the declared type and schema."""
    world = sqlite_world
    spec = document(world)
    issued = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).json["id"]
    found = report(world, stage="mini-gpt/base")
    world.seal()
    world.api("POST", "/downloads", None, json={"stage": "gpt-2/124M"})
    for (path, method), operation in operations(spec).items():
        if method == "get":
            public = {**NAMES, "model": "gpt-2", "stage": "124M", "download_id": issued, "finding_id": found}
            for names in (NAMES, public, {**NAMES, "stage": "large"}):
                answer = world.api("GET", path.removeprefix("/api/v1").format(**names), token)
                require_described(spec, operation, answer)


def require_described(spec: dict[str, Any], operation: dict[str, Any], answer: Any) -> None:
    responses = operation["responses"]
    response = responses.get(str(answer.status_code))
    if response is None:
        assert answer.status_code >= 400
        response = spec["components"]["responses"]["Problem"]
    value = answer.text if answer.mimetype == "text/plain" else answer.json
    require_schema(spec, response["content"][answer.mimetype]["schema"], value)


@pytest.mark.parametrize("path", ["/downloads", "/downloads/{download_id}/urls"])
def test_what_is_issued_is_as_described(sqlite_world: World, path: str) -> None:
    """Each form of an issue, and the order that led to it."""
    spec = document(sqlite_world)
    operation = operations(spec)[f"/api/v1{path}", "post"]
    first = sqlite_world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).json["id"]
    order = {"paths": ["vocab.bpe"]} | ({"stage": "gpt-2/774M"} if path == "/downloads" else {})
    assert operation["requestBody"]["required"] is True
    require_schema(spec, operation["requestBody"]["content"]["application/json"]["schema"], order)
    for accept in ("application/json", *downloads.FORMS):
        answer = sqlite_world.api("POST", path.format(download_id=first), json=order, headers={"Accept": accept})
        content = operation["responses"]["201"]["content"][accept]
        assert answer.mimetype == accept
        require_schema(spec, content["schema"], answer.json if accept == "application/json" else answer.text)


@pytest.mark.parametrize(
    "order",
    [{}, {"stage": 7}, {"stage": "a/b", "x": 1}, {"stage": "a/b", "paths": "x"}, {"stage": "a/b", "paths": [1]}],
)
def test_what_is_refused_is_described_as_wrong(sqlite_world: World, order: dict[str, Any]) -> None:
    """The document's schema and the server agree on a bad order."""
    spec = document(sqlite_world)
    schema = operations(spec)["/api/v1/downloads", "post"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        require_schema(spec, schema, order)
    assert sqlite_world.api("POST", "/downloads", json=order).status_code == 400


def test_bounds_are_told(sqlite_world: World) -> None:
    """What a program can know before it asks: how many, how far back, and that no list of files is empty."""
    spec = document(sqlite_world)
    query = {one["name"]: one["schema"] for one in operations(spec)["/api/v1/log/entries", "get"]["parameters"]}
    assert (query["limit"]["minimum"], query["limit"]["maximum"]) == (1, 200)
    assert (query["since"]["anyOf"][0]["format"], "pattern" in query["since"]["anyOf"][0]) == ("date-time", True)
    assert query["cursor"]["anyOf"][0]["pattern"] == "^[0-9]{1,18}$"
    order = spec["components"]["schemas"]["DownloadOrder"]["properties"]["paths"]["anyOf"][0]
    assert (order["minItems"], order["uniqueItems"]) == (1, True)


def test_it_names_our_own_address(sqlite_world: World) -> None:
    """The server in the document is the one of the settings, whatever host was asked."""
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"public_url": "https://weights.example.org"})
    client = web.create(sqlite_world.use).test_client()
    spec = client.get("/api/v1/openapi.json", headers={"Host": "evil.example"}).json
    assert spec is not None
    assert spec["servers"] == [{"url": "https://weights.example.org"}]
