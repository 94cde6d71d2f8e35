"""Receiving on a real store: what arrived is published as announced, or not at all; and judged again at that moment."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.identity import people, proposals, tokens
from server.domain.identity.proposals import ProposalKind
from server.domain.operation import carrying_out
from server.domain.permissions import Role
from server.domain.publish import publishing, receiving, uploads
from server.domain.release import holds
from server.storage.objects import ObjectStoreUnavailable
from server.storage.uploads import PREFIX, UploadObjects
from tests.domain.publish.test_publishing import safetensors
from tests.filled_forms import quota_waits
from tests.uploads import FILES, PLANNED, announced, completed, seen, sent, slots
from tests.world import World, cases

pytestmark = pytest.mark.usefixtures("no_uploads")

OPEN = "gpt-2/774M"
Planted = tuple[EntryKind, dict[str, Any]]


def left(world: World) -> list[Any]:
    return [*world.use.arrivals.list_keys(PREFIX), *world.use.arrivals.attempts()]


def test_what_arrived_is_published(world: World) -> None:
    """The log names the publisher and the token; nothing is left of the upload, and nothing happens twice."""
    before = len(world.records("checkpoint.publish"))
    upload = completed(world)
    assert receiving.publish_next(world.use)
    assert not receiving.publish_next(world.use)
    done = seen(world, upload)
    record = world.records("checkpoint.publish")[-1]
    assert (done.state, done.checkpoint_id, done.refusal) == ("published", record["checkpoint"], None)
    caller = world.caller("publisher")
    assert record["actor"] == caller.as_record()
    assert len(world.records("checkpoint.publish")) == before + 1
    assert left(world) == []
    assert uploads.complete(world.use, caller, upload.id).state == "published"


def test_an_open_stage_waits_for_another_person(world: World) -> None:
    """It is proposed by the token's person; an admin approves as ever."""
    upload = completed(world, stage=OPEN)
    receiving.publish_next(world.use)
    done = seen(world, upload)
    assert done.state == "proposed"
    assert f"proposal approve {done.proposal}" in str(done.next_step)
    assert world.records("proposal.create")[-1]["actor"]["via"] == "token"
    carrying_out.approve(world.use, world.admin2, done.proposal or 0)
    assert world.records("checkpoint.publish")[-1]["checkpoint"] == done.checkpoint_id


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"config.json": b"{not JSON}"}, "is not JSON"),
        ({"model.safetensors": safetensors(1000)[:-1]}, "model.safetensors"),
        ({"a.txt": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins\x8c\x04eval\x93."}, "pickle"),
        ({"model.gguf": b"GGUF" + bytes(40)}, "model.gguf"),
    ],
)
def test_what_cannot_be_published_is_refused_and_removed(
    sqlite_world: World, files: dict[str, bytes], says: str
) -> None:
    """By the checks of every other publishing."""
    before = len(sqlite_world.records("checkpoint.publish"))
    upload = completed(sqlite_world, files)
    assert receiving.publish_next(sqlite_world.use)
    done = seen(sqlite_world, upload)
    assert (done.state, says in str(done.refusal)) == ("refused", True)
    assert left(sqlite_world) == []
    assert len(sqlite_world.records("checkpoint.publish")) == before


def test_another_content_than_the_announced_one_is_refused(sqlite_world: World) -> None:
    """Each part is what it was signed for, and the whole is still not the file."""
    world = sqlite_world
    upload = announced(world)
    other = FILES | {"vocab.txt": b"x\ny\n"}
    sent(world, upload, other)
    uploads.complete(world.use, world.caller("publisher"), upload.id)
    receiving.publish_next(world.use)
    assert "not what was announced" in str(seen(world, upload).refusal)
    assert left(world) == []


def test_what_has_not_arrived_can_still_be_sent(sqlite_world: World) -> None:
    """Completed too early, it is open again, and says what is missing."""
    world, caller = sqlite_world, sqlite_world.caller("publisher")
    upload = announced(world)
    slots(world, upload)
    uploads.complete(world.use, caller, upload.id)
    receiving.publish_next(world.use)
    early = seen(world, upload)
    assert (early.state, early.refusal_code) == ("open", "not_possible")
    sent(world, upload)
    assert uploads.complete(world.use, caller, upload.id).refusal is None
    receiving.publish_next(world.use)
    assert seen(world, upload).state == "published"


def test_a_stump_in_the_store_is_put_together_again(sqlite_world: World) -> None:
    """Where its parts are still there; else it is sent again."""
    world, caller = sqlite_world, sqlite_world.caller("publisher")
    upload = completed(world)
    with world.use.database.reading() as session:
        files = uploads.files_of(session, upload.id)
    for file in files:
        world.use.arrivals.put_bytes(file.object_key, b"")
    world.use.arrivals.abort(files[1].object_key, str(files[1].attempt))
    receiving.publish_next(world.use)
    assert (seen(world, upload).state, seen(world, upload).refusal_code) == ("open", "not_possible")
    assert [slot.url is None for slot in slots(world, upload)] == [True, False]
    sent(world, upload)
    uploads.complete(world.use, caller, upload.id)
    receiving.publish_next(world.use)
    assert seen(world, upload).state == "published"


def revoke(world: World) -> None:
    tokens.revoke(world.use, world.admin, str(world.caller("publisher").token_public_id))


def lose_role(world: World) -> None:
    world.give_role(world.example.people["publisher"]["email"], Role.AUDITOR)


def disable(world: World) -> None:
    people.disable(world.use, world.admin, world.example.people["publisher"]["email"])


@cases("take_away", [revoke, lose_role, disable])
def test_whoever_may_no_longer_publish_publishes_nothing(world: World, take_away: Callable[[World], None]) -> None:
    """Judged in the transaction that would make it visible, whatever was allowed when it was completed."""
    upload, before = completed(world), len(world.records("checkpoint.publish"))
    take_away(world)
    receiving.publish_next(world.use)
    assert seen(world, upload).state == "refused"
    assert len(world.records("checkpoint.publish")) == before


def test_whoever_loses_the_token_at_the_last_moment_publishes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revoked when all has been checked and stored: only the visible step is left."""
    upload, before = completed(world), len(world.records("checkpoint.publish"))
    finish = publishing._finish

    def late(*args: Any, **kwargs: Any) -> Any:
        revoke(world)
        return finish(*args, **kwargs)

    monkeypatch.setattr(publishing, "_finish", late)
    receiving.publish_next(world.use)
    assert (seen(world, upload).state, seen(world, upload).refusal_code) == ("refused", "invalid_credentials")
    assert len(world.records("checkpoint.publish")) == before


def test_a_hold_does_not_stop_publishing_and_a_withdrawal_does(world: World) -> None:
    """As on the command line."""
    first, second = completed(world), completed(world, stage="mini-gpt/large")
    holds.place(world.use, world.admin, PLANNED, "A pause.")
    world.move("mini-gpt/large", "withdrawn")
    assert receiving.publish_next(world.use)
    assert receiving.publish_next(world.use)
    assert (seen(world, first).state, seen(world, second).state) == ("published", "refused")
    assert "withdrawn" in str(seen(world, second).refusal)


def test_two_that_publish_at_once_publish_once(world: World) -> None:
    """Also where the second one takes an upload for abandoned while the first one still works on it."""
    upload, before = completed(world), len(world.records("checkpoint.publish"))
    met = threading.Barrier(2, timeout=20)
    take, taken = receiving._take, list[Any]()

    def both(use: Any) -> Any:
        run = take(use)
        with world.use.database.transaction() as session:
            session.get_one(uploads.Upload, upload.id).worked_until = None
        taken.append(run)
        return run

    runs = [both(world.use), both(world.use)]

    def work(run: Any) -> None:
        met.wait()
        receiving._take = lambda _use: run  # type: ignore[assignment]
        try:
            receiving.publish_next(world.use)
        except Exception as error:  # whoever comes second may find the objects gone
            taken.append(error)

    try:
        working = [threading.Thread(target=work, args=(run,)) for run in runs]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
    finally:
        receiving._take = take
    assert seen(world, upload).state == "published"
    assert len(world.records("checkpoint.publish")) == before + 1


@pytest.mark.parametrize("at", ["put_together", "location", "head"])
def test_a_run_that_dies_is_continued(sqlite_world: World, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """A minute later, by any other; whatever was put together already is not asked for its parts again."""
    world = sqlite_world
    upload = completed(world)
    usual, calls = getattr(UploadObjects, at), list[str]()

    def dies(*args: Any) -> Any:
        calls.append(at)
        if len(calls) == 2:
            raise ObjectStoreUnavailable("the store is away")
        return usual(*args)

    monkeypatch.setattr(UploadObjects, at, dies)
    with pytest.raises(ObjectStoreUnavailable):
        receiving.publish_next(world.use)
    assert not receiving.publish_next(world.use)
    world.clock.advance(timedelta(minutes=2))
    assert receiving.publish_next(world.use)
    assert seen(world, upload).state == "published"


def by(caller: Caller) -> dict[str, Any]:
    return {"actor": caller.as_record()}


def another(world: World) -> dict[str, Any]:
    """The record of a checkpoint that was published by an upload, under another id."""
    completed(world)
    receiving.publish_next(world.use)
    return world.records("checkpoint.publish")[-1] | {"checkpoint": "0" * 40}


def with_a_revoked_token(world: World) -> Planted:
    record = another(world)
    tokens.revoke(world.use, world.admin, record["actor"]["token"])
    return EntryKind.CHECKPOINT_PUBLISH, record


def with_a_token_for_something_else(world: World) -> Planted:
    return EntryKind.CHECKPOINT_PUBLISH, another(world) | by(world.caller("auditor"))


def with_a_token_that_expired(world: World) -> Planted:
    record = another(world)
    world.clock.offset += timedelta(days=91)
    return EntryKind.CHECKPOINT_PUBLISH, record


def a_quota_proposed_with_a_token(world: World) -> Planted:
    says = {"bytes_per_day": 1, "requests_per_minute": 1}
    about = {"proposal": 99, "what": "quota", "on": "cedar-systems", "says": says}
    return EntryKind.PROPOSAL_CREATE, about | by(world.caller("publisher"))


def withdrawn_with_a_token(world: World) -> Planted:
    number = quota_waits(world, "cedar-systems")["proposal_id"]
    with world.use.database.reading() as session:
        waits = session.get_one(proposals.Proposal, number)
        about = {"proposal": number, "what": str(ProposalKind.QUOTA), "on": waits.subject, "says": waits.says}
    return EntryKind.PROPOSAL_REJECT, about | by(world.caller("publisher"))


PLANTED: dict[Callable[[World], Planted], str] = {
    with_a_revoked_token: "had been revoked",
    with_a_token_for_something_else: "does not have the required scope",
    with_a_token_that_expired: "had expired",
    a_quota_proposed_with_a_token: "only a person can propose",
    withdrawn_with_a_token: "which takes a person",
}


@pytest.mark.parametrize("plant", PLANTED)
def test_an_act_with_a_token_that_cannot_do_it_is_named(sqlite_world: World, plant: Callable[[World], Planted]) -> None:
    world = sqlite_world
    kind, record = plant(world)
    planted = {name: value for name, value in record.items() if name not in {"kind", "time", "version"}}
    name = world.name_of(world.plant(kind, planted))
    world.seal()
    faults = [fault for result in verifying.verify(world.use) for fault in result.faults]
    assert any(PLANTED[plant] in fault.sentence for fault in faults), (name, faults)


@pytest.mark.parametrize("stage", ["gpt-2/1558M", "gpt-2/774M"])
def test_what_an_upload_leaves_is_no_fault(world: World, stage: str) -> None:
    """Published or proposed with a token: the whole log verifies, and the tables are as it tells."""
    completed(world, stage=stage)
    receiving.publish_next(world.use)
    world.seal()
    assert [fault for result in verifying.verify(world.use, tables=True) for fault in result.faults] == []
