"""The API reference: it says all that the OpenAPI document says, for people."""

import re
from typing import Any

from tests.visits import Visit, words
from tests.world import World


def document(visit: Visit) -> Any:
    return visit.get("/api/v1/openapi.json").json


def test_every_call_is_on_the_page_with_what_it_takes(sqlite_world: World) -> None:
    """Method, path, what it does, its parameters and fields, and whether it needs a token; without sign-in."""
    visit = sqlite_world.visit(None)
    page, spec = visit.get("/help/api"), document(visit)
    read = words(page)
    assert page.status_code == 200
    for path, methods in spec["paths"].items():
        for method, told in methods.items():
            assert f"{method.upper()} {path}" in read
            assert told["summary"].split("`")[0].strip() in read
            for parameter in told["parameters"]:
                assert f"<code>{parameter['name']}</code>" in page.text
    for name, told in spec["components"]["schemas"]["DownloadOrder"]["properties"].items():
        assert f"<code>{name}</code>" in page.text
        assert told["description"].split("`")[0] in read
    assert "files[].url" in read
    anchors = re.findall(r'<article id="([a-z0-9-]+)"', page.text)
    assert len(anchors) == len(set(anchors)) == sum(len(methods) for methods in spec["paths"].values())


def test_it_says_who_needs_a_token(sqlite_world: World) -> None:
    """As the document has it: always, perhaps, never."""
    read = words(sqlite_world.visit(None).get("/help/api"))
    for call, said in (("GET /api/v1/me ", "Needs a token."), ("GET /api/v1/stages ", "A token is optional."),
                       ("GET /api/v1/keys ", "Takes no token.")):  # fmt: skip
        assert said in read.partition(call)[2][:300], call
