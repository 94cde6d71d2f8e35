"""Opening: a checkpoint of a stage that somebody can have is seen by nobody until a second person approves it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.domain.audit import verifying
from server.domain.audit.replay import Replay
from server.domain.callers import Caller
from server.domain.decisions import deciding
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPermitted, NotPossible
from server.domain.operation import carrying_out
from server.domain.permissions import Role
from server.domain.publish import main_checkpoint, opening, publishing
from server.domain.publish.publishing import Published
from server.domain.release.stages import StageState
from tests import tampering
from tests.domain.decisions.test_proposing import propose
from tests.domain.publish.folders import put
from tests.domain.publish.test_main_checkpoint import main_of
from tests.world import World

OPEN, PLANNED = "gpt-2/774M", "gpt-2/1558M"
ALONE = "it takes two people, and names no proposal that a second one approved"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(tmp_path / "files", {"a.txt": b"a", "b.txt": b"bb"})


def publish(world: World, folder: Path, by: Caller | None = None, **more: Any) -> Published:
    return publishing.publish(world.use, by or world.person("publisher"), folder, OPEN, **more)


def proposed(world: World, folder: Path) -> tuple[int, str]:
    done = publish(world, folder)
    assert done.proposal is not None
    return done.proposal, done.checkpoint_id


def found(world: World) -> list[tuple[str, str]]:
    world.seal()
    told = verifying.verify(world.use, tables=True)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def statuses(world: World, checkpoint: str) -> set[int]:
    """What a cleared partner and the lab are answered, who ask for a checkpoint and its URLs."""
    path = f"/stages/{OPEN}/checkpoints/{checkpoint}"
    shown = {world.api("GET", path, who).status_code for who in ("cleared", "publisher", "admin")}
    return shown | {world.api("POST", "/downloads", json={"stage": OPEN, "checkpoint": checkpoint}).status_code}


def test_nobody_has_it_before_another_person_approves(world: World, folder: Path) -> None:
    """`main` stays as it was; then it moves, and the entry names the proposal and who approved it."""
    before = main_of(world, OPEN)
    number, checkpoint = proposed(world, folder)
    assert (main_of(world, OPEN), statuses(world, checkpoint)) == (before, {404})
    assert world.records("checkpoint.publish")[-1]["checkpoint"] != checkpoint
    carrying_out.approve(world.use, world.admin2, number)
    assert main_of(world, OPEN) == checkpoint
    assert statuses(world, checkpoint) == {200, 201}
    record = world.records("checkpoint.publish")[-1]
    assert (record["checkpoint"], record["proposal"], record["files"], record["size_bytes"]) == (
        checkpoint,
        number,
        2,
        3,
    )
    assert record["actor"]["person"] == world.admin2.person
    assert found(world) == []


def test_a_publisher_approves_nothing_and_an_admin_not_their_own(world: World, folder: Path) -> None:
    """The next step names those who can."""
    done = publish(world, folder, world.admin)
    assert done.next_step == (
        f"{world.admin2.person} must approve it: `weightgate-server proposal approve {done.proposal}`."
    )
    with pytest.raises(NotPossible, match="another admin must approve"):
        carrying_out.approve(world.use, world.admin, done.proposal or 0)
    for who in ("publisher", "auditor", "cleared"):
        for act in (carrying_out.approve, carrying_out.reject):
            with pytest.raises(NotPermitted):
                act(world.use, world.person(who), done.proposal or 0)
    assert main_of(world, OPEN) != done.checkpoint_id


@pytest.mark.parametrize("by", ["publisher", "admin"])
def test_what_was_withdrawn_or_rejected_can_be_proposed_again(world: World, folder: Path, by: str) -> None:
    """Under the same ID, with nothing left to upload; meanwhile it is as if it were not there."""
    number, checkpoint = proposed(world, folder)
    state = carrying_out.reject(world.use, world.person(by), number).state
    assert state == ("withdrawn" if by == "publisher" else "rejected")
    with pytest.raises(NotPossible, match=f"already {state}"):
        carrying_out.approve(world.use, world.admin2, number)
    assert statuses(world, checkpoint) == {404}
    again = publish(world, folder)
    assert (again.checkpoint_id, again.resumed, again.proposal) == (checkpoint, True, number + 1)
    carrying_out.approve(world.use, world.admin2, number + 1)
    assert main_of(world, OPEN) == checkpoint
    assert found(world) == []


def test_one_waits_at_a_time(world: World, folder: Path, tmp_path: Path) -> None:
    """The same files, and others, are refused before anything is uploaded, and told what has to be done."""
    number, checkpoint = proposed(world, folder)
    with pytest.raises(NotPossible, match=f"already wait for approval as checkpoint {checkpoint}") as refused:
        publish(world, folder, world.admin)
    assert f"`weightgate-server proposal approve {number}`" in str(refused.value.next_step)
    with pytest.raises(NotPossible, match=f"Proposal {number} for {OPEN} is still waiting"):
        publish(world, put(tmp_path / "others", {"c.txt": b"c"}))
    assert len(world.entries("proposal.create")) == 1


def test_a_stage_that_opens_meanwhile_takes_two(world: World, folder: Path) -> None:
    """Uploads take hours: what counts is the moment at which it would become visible."""
    decided = len(world.entries("decision.execute"))

    def open_it(*_: object) -> None:
        if len(world.entries("decision.execute")) == decided:
            world.move(PLANNED, StageState.PARTNERS)

    done = publishing.publish(world.use, world.person("publisher"), folder, PLANNED, progress=open_it)
    assert done.proposal is not None
    assert main_of(world, PLANNED) != done.checkpoint_id


def test_what_two_people_agreed_to_open_takes_two(world: World, folder: Path) -> None:
    """From the approval on, and while it waits for its moment: they looked at other files."""
    decision = propose(world, PLANNED, StageState.PARTNERS, opens_at=world.clock() + timedelta(days=1))
    first = publishing.publish(world.use, world.person("publisher"), folder, PLANNED)
    assert (first.proposal, main_of(world, PLANNED)) == (None, first.checkpoint_id), "proposed alone, it binds nobody"
    deciding.approve(world.use, world.admin2, decision.id)
    with pytest.raises(NotPermitted):
        main_checkpoint.set_main(world.use, world.person("publisher"), PLANNED, older_of(world, PLANNED))
    put(folder, {"c.txt": b"c"})
    told = list[str]()
    done = publishing.publish(world.use, world.person("publisher"), folder, PLANNED, tell=told.append)
    assert any("is about to open by an approved decision" in sentence for sentence in told)
    assert main_of(world, PLANNED) == first.checkpoint_id
    carrying_out.approve(world.use, world.admin2, done.proposal or 0)
    assert main_of(world, PLANNED) == done.checkpoint_id
    assert found(world) == []


def test_a_decision_that_was_cancelled_binds_nobody(world: World, folder: Path) -> None:
    """Then the stage is planned as before."""
    decision = propose(world, PLANNED, StageState.PARTNERS, opens_at=world.clock() + timedelta(days=1))
    deciding.approve(world.use, world.admin2, decision.id)
    deciding.cancel(world.use, world.admin, decision.id)
    done = publishing.publish(world.use, world.person("publisher"), folder, PLANNED)
    assert (done.proposal, main_of(world, PLANNED)) == (None, done.checkpoint_id)
    assert found(world) == []


def test_a_checkpoint_by_one_person_after_the_decision_is_named(world: World, folder: Path) -> None:
    """Whoever takes the demand away is found by the log."""
    decision = propose(world, PLANNED, StageState.PARTNERS, opens_at=world.clock() + timedelta(days=1))
    deciding.approve(world.use, world.admin2, decision.id)
    world.tampered = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "takes_two", lambda *_: False)
        publishing.publish(world.use, world.person("publisher"), folder, PLANNED)
        main_checkpoint.set_main(world.use, world.person("publisher"), PLANNED, older_of(world, PLANNED))
    sentences = [sentence for _, sentence in found(world)]
    assert sentences == [ALONE, "it changes the main checkpoint of an open stage, which takes an admin"]


def older_of(world: World, stage: str) -> str:
    """The first checkpoint of a stage."""
    published = [record for record in world.records("checkpoint.publish") if record["stage"] == stage]
    return str(published[0]["checkpoint"])


def test_nothing_is_approved_for_a_withdrawn_stage(world: World, folder: Path) -> None:
    """It is for nobody, for good."""
    number, checkpoint = proposed(world, folder)
    world.move(OPEN, StageState.WITHDRAWN)
    with pytest.raises(NotPossible, match="is withdrawn"):
        carrying_out.approve(world.use, world.admin2, number)
    assert checkpoint not in str(world.records("checkpoint.publish"))


def test_a_publisher_who_is_one_no_more_has_proposed_nothing(world: World, folder: Path) -> None:
    """As with every proposal: it has to be rejected."""
    number, _ = proposed(world, folder)
    world.give_role(str(world.person("publisher").person), Role.AUDITOR)
    with pytest.raises(NotPossible, match="may no longer do so"):
        carrying_out.approve(world.use, world.admin2, number)


def planted(world: World, by: Caller, **more: object) -> str:
    """An entry that publishes to the open stage past the rule; returns its name."""
    said = {"stage": OPEN, "checkpoint": "ab" * 20, "content_sha256": "cd" * 32, "files": 1, "size_bytes": 1, **more}
    number = world.plant(EntryKind.CHECKPOINT_PUBLISH, {"actor": by.as_record(), **said})
    world.seal()
    return world.name_of(number)


def entry_faults(world: World, name: str) -> list[str]:
    return [sentence for row, sentence in found(world) if row == name]


def test_a_checkpoint_that_one_person_opened_is_named(world: World, folder: Path) -> None:
    """Without a proposal, by one that nobody approved, and with other files than were approved."""
    assert entry_faults(world, planted(world, world.person("publisher"))) == [ALONE]
    number, _ = proposed(world, folder)
    assert entry_faults(world, planted(world, world.admin, proposal=number)) == [ALONE]
    carrying_out.approve(world.use, world.admin2, number)
    assert entry_faults(world, planted(world, world.admin, proposal=number)) == [ALONE]  # it allowed one act
    carrying_out.reject(world.use, world.admin, proposed(world, put(folder / "b", {"c.txt": b"c"}))[0])


def test_a_checkpoint_that_its_proposer_approved_is_named(world: World, folder: Path) -> None:
    """The approval itself is the fault."""
    done = publish(world, folder, world.admin)
    told = {name: value for name, value in world.records("proposal.create")[-1].items() if name not in {"kind", "time"}}
    approval = world.plant(EntryKind.PROPOSAL_APPROVE, told)
    planted(world, world.admin, **told["says"], proposal=done.proposal)
    assert entry_faults(world, world.name_of(approval)) == ["it was proposed and approved by the same person"]


def test_files_other_than_were_approved_are_named(world: World, folder: Path) -> None:
    """An approved proposal allows these files, and no others."""
    number, _ = proposed(world, folder)
    told = {name: value for name, value in world.records("proposal.create")[-1].items() if name not in {"kind", "time"}}
    world.plant(EntryKind.PROPOSAL_APPROVE, told | {"actor": world.admin2.as_record()})
    assert entry_faults(world, planted(world, world.admin2, proposal=number)) == [
        "it does something else than was proposed"
    ]


BY_SQL: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a draft shown": (
        "UPDATE checkpoints SET published_at = '2026-01-01 00:00:00' WHERE checkpoint_id = :checkpoint",
        lambda checkpoint: f"checkpoints {checkpoint}", "the row exists, but is not in the log",
    ),
    "another main": (
        ("UPDATE stages SET main_checkpoint_id = (SELECT id FROM checkpoints WHERE checkpoint_id = :checkpoint) "
        "WHERE name = '774M'"), lambda _: f"stages {OPEN}", "its main checkpoint differs from the log",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BY_SQL)
def test_a_checkpoint_that_sql_opened_is_named(world: World, folder: Path, what: str) -> None:
    """Without any entry: by the row."""
    _, checkpoint = proposed(world, folder)
    statement, row, sentence = BY_SQL[what]
    world.tampered = True
    tampering.run(world.settings.database_url, statement, checkpoint=checkpoint)
    assert found(world) == [(row(checkpoint), sentence)]


def test_what_one_person_opened_before_the_rule_is_no_fault(world: World) -> None:
    """A log that has not said that it takes two people is judged as it was then, until it says so."""
    by = world.person("publisher")
    said = {"stage": OPEN, "checkpoint": "ab" * 20, "content_sha256": "cd" * 32, "files": 1, "size_bytes": 1}
    older = Replay(world.settings.second_person_tier)
    for entry in world.entries():
        record = orjson.loads(entry.record)
        record.pop("takes_two", None)
        assert list(older.take(record)) == []
    published = said | {"kind": "checkpoint.publish", "time": older.last_ms, "actor": by.as_record()}
    assert list(older.take(published)) == []
    adopted = {"kind": "rules.adopt", "time": older.last_ms, "actor": {"via": "cli"}, "first_admins": []}
    assert list(older.take(adopted | {"takes_two": ["checkpoint"]})) == []
    assert list(older.take(published)) == [ALONE]
