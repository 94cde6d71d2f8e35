"""Rules for holds: what a cut may claim, and that a suspension is the hold on an organization, also in old logs."""

from typing import Any

from server.domain.decisions import lifting
from server.domain.downloads import issuing
from server.domain.release import holds
from tests.world import World, cases

CUT = {"way": "policy", "milliseconds": 12, "canary": "checkpoints/gpt-2/canary-0123456789abcdef", "asked_by": None}


def sentences(world: World) -> list[str]:
    world.seal()
    return [fault.sentence for fault in world.faults()]


def actor(world: World) -> dict[str, Any]:
    return world.admin.as_record()


def test_a_cut_without_a_hold_is_a_fault(world: World) -> None:
    """Whoever claims that URLs died can only mean those of something that was on hold."""
    holds.place(world.use, world.admin, "gpt-2", "A leak.")
    world.plant("hold.cut", {"on": "gpt-2", **CUT})
    assert sentences(world) == []
    world.plant("hold.cut", {"on": "gpt-2/774M", **CUT})
    assert sentences(world) == ["it cuts the URLs of something that was not on hold"]


@cases("on", ["gpt-2/774M", "gpt-2", "everything", "organization:aurora-institute"])
def test_a_download_of_what_is_on_hold_is_a_fault(world: World, on: str) -> None:
    """Planted with all that a download rests on: the hold alone forbids it."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    record = world.records("download")[-1]
    holds.place(world.use, world.admin, on, "A finding.")
    again = {key: value for key, value in record.items() if key not in {"time", "kind", "log"}}
    world.plant("download", again | {"download": "0" * 8}, record["actor"]["organization"])
    (sentence,) = sentences(world)
    assert "on hold" in sentence or "was suspended" in sentence


@cases(
    ("place", "lift", "about"),
    [
        ("hold.place", "hold.lift", {"on": "organization:birch-university"}),
        ("organization.suspend", "organization.resume", {"organization": "birch-university"}),
    ],
)
def test_an_organization_is_suspended_by_either_kind(
    world: World, place: str, lift: str, about: dict[str, str]
) -> None:
    """Older logs have kinds of their own for it: what they say holds for what comes after."""
    record = {"actor": actor(world), "reason": "A question.", **about}
    world.plant(place, record, "birch-university")
    world.plant("token.create", _token(world.person("unsigned").as_record()), "birch-university")
    assert sentences(world)[0].startswith("birch-university, whose ")
    for _ in range(2):
        world.plant(lift, record, "birch-university")
    assert "it lifts a hold that did not exist" in sentences(world)


def _token(by: dict[str, Any]) -> dict[str, Any]:
    return {
        "actor": by, "token": "aaaaaaaaaaaa", "scopes": ["stages:read"], "networks": [],
        "expires_at": 1, "secret_sha256": "0" * 64,
    }  # fmt: skip


def test_the_lab_is_never_on_hold(world: World) -> None:
    """Nobody could undo it; and what was never added cannot be held."""
    record = {"actor": actor(world), "reason": "A question."}
    world.plant("hold.place", record | {"on": "organization:example-lab"}, "example-lab")
    assert "the lab cannot be suspended" in sentences(world)
    world.plant("hold.place", record | {"on": "organization:nobody"})
    assert "it is about an organization that was never added" in sentences(world)


def lifted(world: World, **more: Any) -> None:
    world.plant("hold.lift", {"actor": world.admin2.as_record(), "on": "gpt-2", "reason": "Enough.", **more})


def test_a_lift_by_one_person_is_a_fault(world: World) -> None:
    """Without a decision, by one that nobody approved, by one about something else, and twice by the same."""
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    made = lifting.propose(world.use, world.admin, "gpt-2", "Not reproduced.")
    lifted(world)
    assert sentences(world) == ["it lifts a hold that two different people had not decided to lift"]
    world.plant("hold.place", {"actor": actor(world), "on": "gpt-2", "reason": "Again."})
    lifted(world, decision=made.id)
    assert sentences(world)[1:] == ["it lifts a hold by a decision that was proposed"]
    world.plant("hold.place", {"actor": actor(world), "on": "gpt-2", "reason": "Again."})
    lifted(world, decision=made.id)
    assert sentences(world)[2:] == ["it lifts a hold by a decision that was done"]


def test_a_lift_that_its_proposer_approved_is_a_fault(world: World) -> None:
    """Planted as the command of a patched server would write it."""
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    made = lifting.propose(world.use, world.admin, "gpt-2", "Not reproduced.")
    world.plant("decision.approve", {"actor": actor(world), "decision": made.id, "decides": "lift", "on": "gpt-2"})
    world.plant("hold.lift", {"actor": actor(world), "on": "gpt-2", "reason": "Enough.", "decision": made.id})
    assert sentences(world) == ["it was proposed and approved by the same person"]


def test_a_lift_of_what_was_never_held_cannot_be_proposed(world: World) -> None:
    """Nor can a lift be carried out as a move is."""
    world.plant("decision.propose", _proposal(world, "gpt-2"))
    assert sentences(world) == ["it proposes to lift a hold that did not exist"]
    holds.place(world.use, world.admin, "mini-gpt", "A finding.")
    made = lifting.propose(world.use, world.admin, "mini-gpt", "Not reproduced.")
    named = {"decision": made.id, "decides": "lift", "on": "mini-gpt"}
    world.plant("decision.execute", named | {"evidence_sha256": "0" * 64, "findings": [], "before": None, "to": None})
    assert "it carries out a lift, which is an entry of its own kind" in sentences(world)


def _proposal(world: World, on: str) -> dict[str, Any]:
    return {
        "actor": actor(world), "decision": 900, "decides": "lift", "on": on, "public_reason": "x", "findings": [],
        "rationale_sha256": "0" * 64, "would_change_sha256": "0" * 64, "evidence_sha256": "0" * 64,
    }  # fmt: skip
