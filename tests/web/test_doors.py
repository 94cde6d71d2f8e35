"""Doors: what a request may carry and how it is answered hangs on the view's door, never on how its address begins."""

import pytest
from flask import Blueprint, Flask, session
from flask.testing import FlaskClient

from server.web import app as web
from server.web import doors
from server.web.doors import Door, UndeclaredDoor
from server.web.identity import open_to_all
from tests.world import World

HTML = {"Accept": "text/html"}


def blueprint(name: str, address: str) -> Blueprint:
    """One view that refuses nothing and tells whether it has a cookie to write to."""
    made = Blueprint(name, "tests", url_prefix=address)

    @made.get("/look")
    @open_to_all
    def look() -> str:
        return type(session._get_current_object()).__name__  # type: ignore[attr-defined]

    return made


@pytest.fixture
def elsewhere(sqlite_world: World) -> FlaskClient:
    """The server with a door of the API away from /api/, and one of the portal under it."""
    app = web.create(sqlite_world.use)
    doors.open_to(Door.API, app, blueprint("moved", "/gpt-2"))
    doors.open_to(Door.PORTAL, app, blueprint("pages", "/api/v1/pages"))
    return app.test_client()


def test_unread_queries_are_refused_where_views_name_theirs(elsewhere: FlaskClient) -> None:
    """By the door, wherever it is: an address that begins like the API's is not the API's."""
    assert elsewhere.get("/gpt-2/look?limit=3").status_code == 400
    assert elsewhere.get("/gpt-2/look").status_code == 200
    assert elsewhere.get("/api/v1/pages/look?limit=3").status_code == 200


def test_only_pages_have_a_cookie(elsewhere: FlaskClient) -> None:
    """Elsewhere there is nothing to read from and nothing to write to."""
    assert elsewhere.get("/gpt-2/look").text == "NullSession"
    assert elsewhere.get("/api/v1/pages/look").text == "SecureCookieSession"


@pytest.mark.parametrize(
    ("address", "headers", "kind"),
    [
        ("/gpt-2/look?a=1&a=2", HTML, "application/problem+json"),
        ("/api/v1/pages/look?a=1&a=2", {}, "text/html"),
        ("/nowhere", HTML, "text/html"),
        ("/api/v1/nowhere", HTML, "text/html"),
        ("/nowhere", {}, "application/problem+json"),
        ("/nowhere", {"Accept": "*/*"}, "application/problem+json"),
        ("/log/tile/nowhere", HTML, "application/problem+json"),
    ],
)
def test_errors_are_answered_in_the_form_of_the_door(
    elsewhere: FlaskClient, address: str, headers: dict[str, str], kind: str
) -> None:
    """A page for people, a problem for programs; where no view is, whoever reads pages gets one."""
    assert elsewhere.get(address, headers=headers).mimetype == kind


def test_a_blueprint_without_a_door_stops_the_start(sqlite_world: World) -> None:
    """Nobody adds routes whose manners were not thought of; nor views outside every blueprint."""
    app = web.create(sqlite_world.use)
    doors.require_declared(app)
    app.register_blueprint(blueprint("forgotten", "/forgotten"))
    with pytest.raises(UndeclaredDoor, match="/forgotten/look"):
        doors.require_declared(app)
    bare = Flask("tests", static_folder=None)
    bare.add_url_rule("/bare", view_func=open_to_all(lambda: ""), endpoint="bare")
    with pytest.raises(UndeclaredDoor, match="/bare"):
        doors.require_declared(bare)
