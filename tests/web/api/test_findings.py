"""The API of findings: a partner's script reports and follows; what is not its own is not there."""

import hashlib
import urllib.request
from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import finding_releases
from server.domain.identity import tokens
from server.domain.permissions import Scope
from server.domain.release import finding_triage
from server.domain.release.findings import FindingState, Severity
from tests.attached import TABLE, attached
from tests.findings import report
from tests.world import World

SENT: dict[str, Any] = {
    "stage": "gpt-2/774M", "kind": "bias", "severity": "high", "title": "It prefers one of two names",
    "text": "# What we did\n\nWe asked *often*.", "may_publish": True,
}  # fmt: skip


def test_a_report_is_answered_with_what_was_kept(sqlite_world: World) -> None:
    """And can be read again, alone and in the list, with the checkpoint's own id."""
    until = str((sqlite_world.clock() + timedelta(days=30)).date())
    made = sqlite_world.api("POST", "/findings", json=SENT | {"checkpoint": "main", "embargo_until": until})
    assert made.status_code == 201
    assert SENT.items() <= made.json.items()
    assert (made.json["state"], made.json["organization"], made.json["embargo_until"]) == (
        "open", "aurora-institute", until,
    )  # fmt: skip
    assert len(made.json["checkpoint"]) == 40
    assert sqlite_world.api("GET", f"/findings/{made.json['id']}").json == made.json
    (item,) = sqlite_world.api("GET", "/findings").json["items"]
    assert item == {key: value for key, value in made.json.items() if key not in {"text", "answer", "attachments"}}


def test_the_same_report_twice_is_a_conflict_that_names_the_first(world: World) -> None:
    """A script that lost the answer finds out that nothing was lost."""
    first = world.api("POST", "/findings", json=SENT).json["id"]
    again = world.api("POST", "/findings", json=SENT)
    assert again.status_code == 409
    assert f"finding {first}" in again.json["detail"]


WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "a kind that there is not": ({"kind": "rumor"}, 400),
    "a severity that there is not": ({"severity": "apocalyptic"}, 400),
    "a number for a kind": ({"kind": 1}, 400),
    "an empty title": ({"title": ""}, 400),
    "a title of spaces": ({"title": "   "}, 400),
    "a long title": ({"title": "x" * 201}, 400),
    "an empty text": ({"text": ""}, 400),
    "a long text": ({"text": "x" * 50_001}, 400),
    "ten megabytes": ({"text": "x" * 10_000_000}, 413),
    "a day that there is not": ({"embargo_until": "2027-02-30"}, 400),
    "a moment for a day": ({"embargo_until": "2027-02-03T00:00:00Z"}, 400),
    "a day that is over": ({"embargo_until": "2019-08-20"}, 409),
    "a word for a permission": ({"may_publish": "yes"}, 400),
    "a field that there is not": ({"state": "closed"}, 400),
    "nothing found, and bad": ({"kind": "nothing_found"}, 409),
    "another stage": ({"stage": "gpt-2/none"}, 404),
    "a plan": ({"stage": "gpt-2/1558M"}, 404),
    "a stage above": ({"stage": "mini-gpt/large"}, 403),
    "another checkpoint": ({"checkpoint": "0" * 40}, 404),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_report_that_cannot_be_kept_is_refused(sqlite_world: World, what: str) -> None:
    """With a sentence that says what to change, and no row."""
    changed, status = WRONG[what]
    answer = sqlite_world.api("POST", "/findings", json=SENT | changed)
    assert answer.status_code == status
    assert answer.json["next_step"]
    assert sqlite_world.api("GET", "/findings").json["items"] == []


def test_what_cannot_be_printed_is_kept_as_a_sign_for_it(sqlite_world: World) -> None:
    """It would act on whoever's terminal shows it; line breaks and tabs stay."""
    sent = SENT | {"title": "a\x1bb", "text": "c\x00d\r\n\te\u202e"}
    made = sqlite_world.api("POST", "/findings", json=sent).json
    assert (made["title"], made["text"]) == ("a\N{REPLACEMENT CHARACTER}b", "c\ufffdd\n\te\ufffd")


def test_others_read_what_was_released_to_them_and_not_whose_it_is(sqlite_world: World) -> None:
    """The text, and neither reporter nor answer; whose it is only where the reporter agreed to be named."""
    for may_name in (False, True):
        number = report(sqlite_world, title=f"May name: {may_name}", may_publish=True, may_name=may_name)
        finding_triage.triage(
            sqlite_world.use, sqlite_world.admin, number, FindingState.CONFIRMED, Severity.HIGH, answer="Thanks."
        )
        assert sqlite_world.api("GET", f"/findings/{number}", "unsigned").status_code == 404
        finding_releases.release(sqlite_world.use, sqlite_world.admin, number, ["birch-university"])
        seen = sqlite_world.api("GET", f"/findings/{number}", "unsigned").json
        assert (seen["text"], seen["severity"], seen["state"]) == ("What we saw.", "high", "confirmed")
        assert (seen["reported_by"], seen["answer"], seen["answered_at"]) == (None, None, None)
        assert seen["organization"] == ("aurora-institute" if may_name else None)
        own = sqlite_world.api("GET", f"/findings/{number}").json
        assert (own["reported_by"], own["answer"]) == ("owner@aurora-institute.example", "Thanks.")
    assert len(sqlite_world.api("GET", "/findings", "unsigned").json["items"]) == 2
    assert sqlite_world.api("GET", "/findings", "uncleared").json["items"] == []


def test_a_token_reports_only_with_the_scope_for_it(sqlite_world: World) -> None:
    """And with that scope alone it reads findings, and downloads nothing."""
    owner = sqlite_world.person("cleared")
    without = tokens.create(sqlite_world.use, owner, "a", [Scope.STAGES_READ, Scope.LOG_READ], timedelta(days=1)).text
    alone = tokens.create(sqlite_world.use, owner, "b", [Scope.FINDINGS_CREATE], timedelta(days=1)).text
    assert sqlite_world.api("POST", "/findings", without, json=SENT).json["code"] == "insufficient_scope"
    assert sqlite_world.api("GET", "/findings", without).json["code"] == "insufficient_scope"
    assert sqlite_world.api("POST", "/findings", alone, json=SENT).status_code == 201
    assert len(sqlite_world.api("GET", "/findings", alone).json["items"]) == 1
    assert (
        sqlite_world.api("POST", "/downloads", alone, json={"stage": "gpt-2/124M"}).json["code"] == "insufficient_scope"
    )


@pytest.mark.parametrize("who", ["auditor", "publisher", "admin", "cleared", "unsigned"])
def test_a_token_that_only_reads_sees_what_its_maker_sees(sqlite_world: World, who: str) -> None:
    """Staff all findings, a partner its own and what was released to it; it reports and attaches nothing."""
    number = report(sqlite_world)
    made = attached(sqlite_world, number)
    token = tokens.create(
        sqlite_world.use, sqlite_world.person(who), "a", [Scope.FINDINGS_READ], timedelta(days=1)
    ).text
    may_see = who != "unsigned"
    listed = sqlite_world.api("GET", "/findings", token).json["items"]
    assert [one["id"] for one in listed] == ([number] if may_see else [])
    assert sqlite_world.api("GET", f"/findings/{number}", token).status_code == (200 if may_see else 404)
    opened = sqlite_world.api("POST", f"/findings/{number}/attachments/{made.id}/url", token)
    assert opened.status_code == (201 if may_see else 404)
    assert sqlite_world.api("POST", "/findings", token, json=SENT).status_code == 403
    file = {"name": "a.csv", "size_bytes": 1, "sha256": "0" * 64}
    assert sqlite_world.api("POST", f"/findings/{number}/attachments", token, json=file).status_code == 403
    assert sqlite_world.api("GET", "/stages", token).json["code"] == "insufficient_scope"


def test_the_demo_s_auditor_reads_findings(sqlite_world: World) -> None:
    """As on the pages of the findings desk."""
    number = report(sqlite_world)
    assert sqlite_world.api("GET", f"/findings/{number}", "auditor").json["text"] == "What we saw."


def test_the_list_is_paged_by_its_key(world: World) -> None:
    """Newest first, each once."""
    numbers = [report(world, title=f"Finding {number}") for number in range(5)]
    seen: list[int] = []
    cursor = ""
    while True:
        part = world.api("GET", f"/findings?limit=2{cursor}").json
        seen += [item["id"] for item in part["items"]]
        if part["next_cursor"] is None:
            break
        cursor = f"&cursor={part['next_cursor']}"
    assert seen == numbers[::-1]


def test_a_file_is_attached_and_saved_by_a_script(world: World) -> None:
    """Announced, put into the store, completed; then it is part of the answer, and a URL saves it."""
    number = report(world)
    file = {"name": "counts.csv", "size_bytes": len(TABLE), "sha256": hashlib.sha256(TABLE).hexdigest()}
    slot = world.api("POST", f"/findings/{number}/attachments", json=file)
    assert slot.status_code == 201
    asked = urllib.request.Request(slot.json["url"], TABLE, slot.json["headers"], method="PUT")  # our store
    with urllib.request.urlopen(asked, timeout=20):
        pass
    place = f"/findings/{number}/attachments/{slot.json['id']}"
    assert world.api("POST", f"{place}/complete").json == {"id": slot.json["id"], **file}
    assert world.api("GET", f"/findings/{number}").json["attachments"] == [{"id": slot.json["id"], **file}]
    with urllib.request.urlopen(world.api("POST", f"{place}/url").json["url"], timeout=20) as answer:
        assert answer.read() == TABLE
    for name in ("unsigned", "uncleared"):
        assert world.api("POST", f"{place}/url", name).status_code == 404


@pytest.mark.parametrize(
    "changed", [{"name": "a.svg"}, {"name": "../a.csv"}, {"size_bytes": 0}, {"size_bytes": 50_000_001}, {"sha256": "x"}]
)
def test_a_file_that_cannot_be_attached_is_refused_before_it_is_sent(
    sqlite_world: World, changed: dict[str, Any]
) -> None:
    """By its name, its size, or a hash that is none."""
    file = {"name": "counts.csv", "size_bytes": 9, "sha256": "0" * 64} | changed
    number = report(sqlite_world)
    assert sqlite_world.api("POST", f"/findings/{number}/attachments", json=file).status_code == 400
