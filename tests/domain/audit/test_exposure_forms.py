"""Exposure in other forms: a table, an object and rows say the same as the answer itself."""

import csv
import json
from datetime import timedelta

from server import dates
from server.domain.audit import exposure, exposure_forms
from server.domain.audit.exposure import Exposure
from server.domain.downloads import issuing
from tests.world import World

HOUR = timedelta(hours=1)


def asked(world: World, stage: str = "gpt-2/774M") -> Exposure:
    """About an hour in which the cleared partner took the stage once."""
    start = world.clock()
    issuing.issue(world.use, world.caller("cleared"), world.order(stage))
    tier = world.settings.second_person_tier
    with world.use.database.reading() as session:
        return exposure.exposure(session, world.person("auditor"), tier, stage, start, start + HOUR)


def test_a_table_has_a_line_for_each_who_could_and_did(sqlite_world: World) -> None:
    """The organization with what it rested on, each person, and what was issued."""
    found = asked(sqlite_world)
    lines = list(csv.DictReader("".join(exposure_forms.as_csv(found)).splitlines()))
    assert [line["could"] for line in lines] == ["organization", "person", "did"]
    assert (lines[0]["organization"], lines[0]["clearance"], lines[0]["signature"]) == ("aurora-institute", "1", "1")
    assert {line["since"] for line in lines[:2]} == {dates.rfc3339(found.since)}
    assert lines[2]["downloads"] == "1"


def test_an_object_for_scripts_says_the_same(sqlite_world: World) -> None:
    """With every moment in RFC 3339; it is JSON."""
    found = asked(sqlite_world)
    body = json.loads(json.dumps(exposure_forms.as_body(found)))
    (one,) = body["organizations"]
    assert one["organization"] == "aurora-institute"
    edges = {"since": dates.rfc3339(found.since), "until": dates.rfc3339(found.until)}
    assert {name: one["authorities"][0][name] for name in edges} == edges == one["people"][0]["spans"][0]
    assert body["downloads"][0]["downloads"] == 1
    assert (body["anyone"], body["downloads_cut"], body["stage"]) == ([], False, "gpt-2/774M")


def test_of_a_public_stage_anyone_could(sqlite_world: World) -> None:
    """In each form, without naming anybody but those who did."""
    found = asked(sqlite_world, "gpt-2/124M")
    rows = list(exposure_forms.as_rows(found))
    assert [row[:2] for row in rows] == [("anyone", "could"), (sqlite_world.person("cleared").person, "did")]
    assert exposure_forms.as_body(found)["anyone"] == [
        {"since": dates.rfc3339(found.since), "until": dates.rfc3339(found.until)}
    ]
    assert "anyone" in "".join(exposure_forms.as_csv(found))


def test_rows_for_a_terminal_name_the_clearance(sqlite_world: World) -> None:
    """Of an organization; its people below it."""
    rows = list(exposure_forms.as_rows(asked(sqlite_world)))
    assert [(row[0].partition("@")[0], row[1], row[4]) for row in rows] == [
        ("aurora-institute", "could", 1), ("owner", "could", None), ("owner", "did", None),
    ]  # fmt: skip
