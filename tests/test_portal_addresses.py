"""Addresses: pages take theirs from the routes, and those in mails, which cannot, lead to one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

import server
from server.domain.resources import Resources
from server.web import app as web
from tests.templates import Template

SOURCES = Path(server.__file__).parent
TEMPLATES = SOURCES / "web" / "templates"
# An address of ours that somebody wrote down: as an attribute's value, after a piece of one, or as a string of Jinja's.
WRITTEN = re.compile(r"""\b(?:href|action|formaction|data-begin)="(?:/|[^"]*\}\}/)|(?<![\w<])'/[\w-]*(?=[/'#?])""")
# What looks like an address in a template, and is none that is followed.
NO_ADDRESS = {
    ("admin/decisions/show.html", "step.stage.split('/')"): "a stage's full name, as the evidence holds it",
    ("audit/verifications/index.html", "fault.log.split('/')[-1]"): "the name at the end of a log's origin",
    ("partner/downloads/show.html", "record.model ~ '/' ~ record.stage"): "a stage's full name",
}
# What Python writes as a path and is not an address of a page.
NO_PAGE = {
    "/": "where cookies hold, home as the safe default of `local_path`, and what parts a model from its stage",
    "//": "before a host, so that it can be parsed",
    "/\\": "what a browser would read as another host's address",
    "/api/": "tells the kind of door",
}
PLACE = "https://weights.example"


@pytest.fixture(scope="module")
def app(sqlite_template: Template) -> Iterator[Flask]:
    """An app that only tells its routes."""
    use = Resources(sqlite_template.settings)
    yield web.create(use)
    use.close()


def written_in(name: str) -> list[str]:
    """The lines of a template in which an address stands."""
    source = (TEMPLATES / name).read_text(encoding="utf-8")
    for file, text in NO_ADDRESS:
        if file == name:
            assert text in source, "it is gone: take it out of the list"
            source = source.replace(text, "")
    return [line for line in source.splitlines() if WRITTEN.search(line)]


@pytest.mark.parametrize("name", sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html")))
def test_a_template_writes_down_no_address(name: str) -> None:
    """It asks for the page by its name: a route may move, and one that is gone stops the page."""
    assert written_in(name) == []


def test_the_portal_writes_down_no_address() -> None:
    """Where a page sends one on to is asked of the routes; only a route's own decorator says a path."""
    found = set()
    for path in (SOURCES / "web" / "portal").rglob("*.py"):
        for text in paths_in(ast.parse(path.read_text(encoding="utf-8"))):
            if text not in NO_PAGE:
                found.add((path.name, text))
    assert found == set()


def paths_in(module: ast.Module) -> Iterator[str]:
    """The strings that begin with a slash, but for those that declare routes."""
    declares = {
        id(part)
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name | ast.Attribute)
        if ast.unparse(call.func) in {"Blueprint", "bp.get", "bp.post"}
        for part in ast.walk(call)
    } | {
        id(node.value) for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ONE"
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and str(node.value).startswith("/") and id(node) not in declares:
            yield str(node.value)


def of_domain() -> Iterator[tuple[str, str]]:
    """Each address that a text of domain builds from the public address: the module, and the path with 1 for values."""
    for path in sorted((SOURCES / "domain").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(map(piece, node.values))
                yield from ((path.name, found) for found in re.findall(rf"{PLACE}(/[^\s]*)", text))


def piece(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        value = ast.unparse(part.value)
        return PLACE if value.endswith("public_url") else "1/1" if value == "stage" else "1"  # its full name
    assert isinstance(part, ast.Constant)
    return str(part.value)


def test_every_address_that_domain_writes_leads_to_a_page(app: Flask) -> None:
    """Mails, one refusal and the way back from a provider are written where no route is known: the app answers each."""
    routes = app.url_map.bind("weights.example")
    found = list(of_domain())
    assert {name for name, _ in found} == {
        "decision_notices.py", "ending_notices.py", "finding_notices.py", "invitations.py", "notices.py",
        "password_resets.py", "resources.py", "rule.py",
    }  # fmt: skip
    assert len(found) > 10
    for _, path in found:
        endpoint, _ = routes.match(path.partition("#")[0], method="GET")
        assert app.view_functions[endpoint].__module__.startswith("server.web.portal"), path
