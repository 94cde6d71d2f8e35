"""Attaching from a page: what its script is told, also when it is a refusal."""

import hashlib
from typing import Any

import pytest

from server.domain.release import finding_triage
from server.domain.release.findings import FindingState
from tests.attached import TABLE, attached
from tests.attached import put as put_there
from tests.filled_forms import FORMS
from tests.findings import report
from tests.visits import Visit
from tests.world import World

SENT = {"name": "counts.csv", "size_bytes": str(len(TABLE)), "sha256": hashlib.sha256(TABLE).hexdigest()}


def announce(here: Visit, finding: int, **changed: str) -> Any:
    return here.post(f"/findings/{finding}/attachments", SENT | changed)


def test_a_file_is_announced_sent_and_checked(world: World) -> None:
    """As through the API; sent twice it is attached once."""
    finding, here = report(world), world.visit("cleared")
    slot = announce(here, finding)
    assert slot.status_code == 201
    assert put_there(slot.json["url"], slot.json["headers"], TABLE) == 200
    done: list[Any] = [here.post(f"/findings/{finding}/attachments/{slot.json['id']}/complete") for _ in range(2)]
    assert [answer.json for answer in done] == [{"id": slot.json["id"], "name": "counts.csv"}] * 2
    assert len(world.records("finding.attach")) == 1
    assert "counts.csv" in here.get(f"/findings/{finding}").text


def test_the_script_of_the_form_is_told_where_the_finding_is(sqlite_world: World) -> None:
    """It attaches before it goes there; a refused form is the page that says why, as without a script."""
    here = sqlite_world.visit("cleared")
    headers = {"Accept": "application/json"}
    data = {"csrf_token": here.csrf_token, **FORMS["/findings/new"].fields}
    made: Any = here.client.post("/findings/new", data=data, headers=headers)
    address = f"/findings/{made.json['finding']}"
    assert (made.status_code, made.json["address"]) == (201, address)
    assert made.json["attach"] == f"{address}/attachments"
    assert "Finding reported." in here.get(address).text
    refused = here.client.post("/findings/new", data=data | {"kind": "nothing_found"}, headers=headers)
    assert (refused.status_code, refused.mimetype) == (422, "text/html")


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "a type": ({"name": "a.exe"}, "plain name that ends in"),
    "a size": ({"size_bytes": "50000001"}, "1 to 50000000 bytes"),
    "no size": ({"size_bytes": "many"}, "Not a valid integer"),
    "no hash": ({"sha256": "x"}, "64 hex digits"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_refusal_is_a_sentence(sqlite_world: World, what: str) -> None:
    """That the page shows beside the file, and nothing is announced."""
    world, (changed, words) = sqlite_world, WRONG[what]
    answer = announce(world.visit("cleared"), report(world), **changed)
    assert answer.status_code == 422
    assert words in answer.json["detail"]


def test_a_file_that_is_not_as_announced_is_refused(sqlite_world: World) -> None:
    """With the reason; one that never arrived can still be sent."""
    world = sqlite_world
    finding, here, page = report(world), world.visit("cleared"), b"<html>"
    told = {"name": "a.png", "size_bytes": str(len(page)), "sha256": hashlib.sha256(page).hexdigest()}
    slot = announce(here, finding, **told).json
    complete = f"/findings/{finding}/attachments/{slot['id']}/complete"
    early: Any = here.post(complete)
    assert (early.status_code, "has not arrived" in early.json["detail"]) == (409, True)
    assert put_there(slot["url"], slot["headers"], page) == 200
    refused: Any = here.post(complete)
    assert (refused.status_code, "it is no png" in refused.json["detail"]) == (422, True)
    assert here.post(complete).status_code == 404


def test_a_settled_finding_stays_as_it_is(sqlite_world: World) -> None:
    """A decision may rest on it: whoever has more to show reports another one. What is attached is still saved."""
    finding = report(sqlite_world)
    made = attached(sqlite_world, finding)
    for state in (FindingState.CONFIRMED, FindingState.CLOSED):
        finding_triage.triage(sqlite_world.use, sqlite_world.admin, finding, state)
    here = sqlite_world.visit("cleared")
    answer = announce(here, finding)
    assert (answer.status_code, answer.json["detail"]) == (409, f"Finding {finding} is closed. Report another finding.")
    saved = here.post(f"/findings/{finding}/attachments/{made.id}")
    assert (saved.status_code, saved.location.startswith(str(sqlite_world.settings.s3_endpoint_url))) == (303, True)
