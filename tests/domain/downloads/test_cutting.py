"""Cutting: what was issued before a hold dies at the store, it is measured when, and lifting takes the deny back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from server.domain.downloads import cutting, issuing
from server.domain.errors import StageHeld
from server.domain.release import holds
from server.domain.release.cuts import Cut, CutState, CutWay
from server.storage import embedded_keys, keys, probes
from server.storage.keys import KeyFileError
from server.storage.object_errors import ObjectStoreError, ObjectStoreRefused
from server.storage.outside import OutsideFault
from tests.own_store import on_own_store
from tests.world import World, cases

STAGES = ("mini-gpt/base", "gpt-2/774M", "gpt-2/124M")
UNDER = {"gpt-2/774M": {"gpt-2/774M"}, "gpt-2": {"gpt-2/774M", "gpt-2/124M"}, "everything": set(STAGES)}


@pytest.fixture
def cutting_world(world: World) -> Iterator[World]:
    """A world whose store, which others share, has no policy before and after."""
    world.use.bucket_policy.deny_signed([])
    yield world
    world.use.bucket_policy.deny_signed([])


def issued(world: World) -> dict[str, str]:
    """One URL of each stage."""
    found = {stage: issuing.issue(world.use, world.caller("cleared"), world.order(stage)) for stage in STAGES}
    return {stage: download.urls[0] for stage, download in found.items()}


def dead(urls: dict[str, str]) -> set[str]:
    return {stage for stage, url in urls.items() if probes.status_of(url) == 403}


def cut_of(world: World, on: str) -> Cut:
    with world.use.database.reading() as session:
        return session.scalars(select(Cut).where(Cut.on == on).order_by(Cut.id.desc())).all()[0]


@cases(("on", "under"), UNDER.items())
def test_issued_urls_die_with_what_they_are_for(cutting_world: World, on: str, under: set[str]) -> None:
    """Nothing else does; the log says how, after how long and on whose wish; lifting takes the deny away."""
    world = cutting_world
    urls = issued(world)
    assert dead(urls) == set()
    holds.place(world.use, world.admin, on, "A leak.", cut_issued=True)
    cut = cutting.carry_out_now(world.use, on)
    assert cut is not None
    assert (cut.state, cut.way) == (CutState.DONE, CutWay.POLICY)
    assert dead(urls) == under
    (placed,), (record,) = world.records("hold.place"), world.records("hold.cut")
    assert placed["cut_issued"] is True
    assert (record["on"], record["way"], record["asked_by"]) == (on, "policy", world.admin.person)
    assert record["milliseconds"] == cut.milliseconds
    assert 0 < record["milliseconds"] < 5000
    assert "canary-" in record["canary"]
    world.lift(on)
    cutting.carry_out(world.use)
    assert dead(urls) == set()
    assert cut_of(world, on).due_at is None
    assert world.use.store.list_keys("checkpoints/canary-") == []


def test_two_holds_are_cut_together_and_taken_back_apart(cutting_world: World) -> None:
    """The bucket's policy is what the holds say at that moment, whoever comes first."""
    world = cutting_world
    urls = issued(world)
    for on in ("gpt-2/774M", "mini-gpt"):
        holds.place(world.use, world.admin, on, "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    assert dead(urls) == {"gpt-2/774M", "mini-gpt/base"}
    assert len(world.records("hold.cut")) == 2
    world.lift("gpt-2/774M")
    cutting.carry_out(world.use)
    assert dead(urls) == {"mini-gpt/base"}


def test_a_hold_that_lies_already_can_be_cut_later(cutting_world: World) -> None:
    """Once: what is done is done; and a hold that is placed again is cut again."""
    world = cutting_world
    urls = issued(world)
    holds.place(world.use, world.admin, "gpt-2", "A question.")
    cutting.carry_out(world.use)
    assert dead(urls) == set()
    for _ in range(2):
        assert holds.cut(world.use, world.admin2, "gpt-2") == "gpt-2"
        cutting.carry_out(world.use)
        assert dead(urls) == UNDER["gpt-2"]
        world.lift("gpt-2")
        cutting.carry_out(world.use)
        assert dead(urls) == set()
        holds.place(world.use, world.admin, "gpt-2", "Again.")
    assert [record["asked_by"] for record in world.records("hold.cut")] == [world.admin2.person] * 2


def test_a_hold_that_is_placed_again_before_the_deny_is_gone(cutting_world: World) -> None:
    """The old deny goes first, or the new canary would never have lived."""
    world = cutting_world
    urls = issued(world)
    for _ in range(2):
        holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
        cutting.carry_out(world.use)
        assert dead(urls) == UNDER["gpt-2"]
        world.lift("gpt-2")
    cutting.carry_out(world.use)
    assert dead(urls) == set()
    assert len(world.records("hold.cut")) == 2


def test_a_cut_under_a_wider_one_is_measured_as_dead_at_once(cutting_world: World) -> None:
    """Its canary dies before it lived, which is true of the URLs as well."""
    world = cutting_world
    for on in ("everything", "gpt-2/774M"):
        holds.place(world.use, world.admin, on, "A leak.", cut_issued=True)
        cutting.carry_out(world.use)
    assert [record["on"] for record in world.records("hold.cut")] == ["everything", "gpt-2/774M"]


def test_what_the_store_refuses_is_told_and_the_hold_stands(
    cutting_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is claimed; it is tried again until no issued URL lives any more, and then by nobody."""
    world = cutting_world

    def refuse(_: object) -> bool:
        raise ObjectStoreRefused("the object store refused to change the policy of bucket weights (AccessDenied)")

    monkeypatch.setattr(world.use.bucket_policy, "deny_signed", refuse)
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    cut = cutting.carry_out_now(world.use, "gpt-2")
    assert cut is not None
    assert (cut.state, cut.way, cut.milliseconds) == (CutState.FAILED, None, None)
    assert "AccessDenied" in (cut.told or "")
    assert world.records("hold.cut") == []
    monkeypatch.undo()
    world.clock.advance(cutting.AGAIN_AFTER)
    cutting.carry_out(world.use)
    assert cut_of(world, "gpt-2").state == CutState.DONE


def test_a_store_that_does_not_obey_is_told_of(cutting_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time is up, no milliseconds are claimed; the hold stands, and a lift still takes the deny back."""
    world = cutting_world
    monkeypatch.setattr(cutting, "OBEYS_WITHIN_SECONDS", 0.2)
    monkeypatch.setattr(world.use.bucket_policy, "deny_signed", lambda _: True)
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    cut = cut_of(world, "gpt-2")
    assert (cut.state, cut.way) == (CutState.FAILED, CutWay.POLICY)
    assert "still accepted a signed URL" in (cut.told or "")
    assert world.records("hold.cut") == []
    world.lift("gpt-2")
    assert cut_of(world, "gpt-2").due_at is not None


def test_a_deny_that_cannot_be_taken_back_is_tried_again(cutting_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is away when the hold is lifted: whoever asks is told, and later it goes."""
    world = cutting_world
    urls = issued(world)
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    world.lift("gpt-2")

    def fail(_: object) -> bool:
        raise ObjectStoreError("away")

    monkeypatch.setattr(world.use.bucket_policy, "deny_signed", fail)
    with pytest.raises(ObjectStoreError):
        cutting.carry_out(world.use)
    monkeypatch.undo()
    assert dead(urls) == UNDER["gpt-2"]
    world.clock.advance(cutting.AGAIN_AFTER)
    cutting.carry_out(world.use)
    assert dead(urls) == set()


def test_whoever_died_at_it_leaves_it_to_another(cutting_world: World) -> None:
    """A claim keeps others away while somebody is at it, and ends by itself."""
    world = cutting_world
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    assert len(cutting._claimed(world.use)) == 1
    cutting.carry_out(world.use)
    assert world.records("hold.cut") == []
    world.clock.advance(cutting.CLAIMED_FOR)
    cutting.carry_out(world.use)
    assert len(world.records("hold.cut")) == 1


def test_a_hold_that_is_lifted_while_it_is_cut_leaves_no_deny(
    cutting_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log claims no cut of what is not on hold, and the next turn takes the deny away."""
    world = cutting_world
    urls, deny = issued(world), world.use.bucket_policy.deny_signed

    def lift_and_deny(prefixes: list[str]) -> bool:
        world.lift("gpt-2")
        return deny(prefixes)

    monkeypatch.setattr(world.use.bucket_policy, "deny_signed", lift_and_deny)
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    monkeypatch.undo()
    assert world.records("hold.cut") == []
    cutting.carry_out(world.use)
    assert dead(urls) == set()


def test_an_organization_s_urls_die_with_their_key(sqlite_world: World) -> None:
    """URLs do not tell whose they are: the signer's key is replaced, at once for everybody, and new URLs work."""
    world = sqlite_world
    with on_own_store(world):
        order = world.order("mini-gpt/base", paths=["config.json"])
        (before,) = issuing.issue(world.use, world.caller("cleared"), order).urls
        assert probes.status_of(before) == 200
        holds.place(world.use, world.admin, "organization:birch-university", "A leak.", cut_issued=True)
        cut = cutting.carry_out_now(world.use, "organization:birch-university")
        assert cut is not None
        assert (cut.state, cut.way) == (CutState.DONE, CutWay.KEY)
        assert probes.status_of(before) == 403
        assert world.records("hold.cut")[0]["way"] == "key"
        world.use = type(world.use)(world.settings, world.clock)  # a process that is started later
        (after,) = issuing.issue(world.use, world.caller("cleared"), order).urls
        assert probes.status_of(after) == 200
        world.use.store.put_bytes("checkpoints/a/b/c", b"the publisher's key goes on")
        world.lift("organization:birch-university")
        assert cut_of(world, "organization:birch-university").due_at is None


def test_a_stage_falls_back_on_the_key(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the embedded store does not obey its policy, the key that signed the URLs goes."""
    world = sqlite_world
    with on_own_store(world):
        monkeypatch.setattr(cutting, "OBEYS_WITHIN_SECONDS", 2)
        monkeypatch.setattr(world.use.bucket_policy, "deny_signed", lambda _: True)
        holds.place(world.use, world.admin, "mini-gpt", "A leak.", cut_issued=True)
        cutting.carry_out(world.use)
        cut = cut_of(world, "mini-gpt")
        assert (cut.state, cut.way) == (CutState.DONE, CutWay.KEY)


def test_an_organization_cannot_be_cut_at_a_store_elsewhere(cutting_world: World) -> None:
    """Only who runs that store can replace its keys, and is told so; the hold stands."""
    world = cutting_world
    holds.place(world.use, world.admin, "organization:birch-university", "A leak.", cut_issued=True)
    cut = cutting.carry_out_now(world.use, "organization:birch-university")
    assert cut is not None
    assert cut.state == CutState.FAILED
    assert "another signer key" in (cut.told or "")


@pytest.mark.parametrize("broken", [KeyFileError("no key"), ObjectStoreError("away")])
def test_a_key_that_cannot_be_replaced_is_told(
    sqlite_world: World, monkeypatch: pytest.MonkeyPatch, broken: Exception
) -> None:
    """Whatever fails on the way: the sentence says it, and nothing is claimed."""
    world = sqlite_world

    def fail(*_: object) -> keys.S3Credentials:
        raise broken

    with on_own_store(world):
        monkeypatch.setattr(embedded_keys, "rotate_signer", fail)
        holds.place(world.use, world.admin, "organization:birch-university", "A leak.", cut_issued=True)
        cutting.carry_out(world.use)
        assert cut_of(world, "organization:birch-university").told == str(broken)
        assert world.records("hold.cut") == []


def test_publishing_goes_on_and_nothing_becomes_downloadable(cutting_world: World, tmp_path: Path) -> None:
    """Its objects are put and looked at under the deny; the new checkpoint is issued once the hold is lifted."""
    world, folder, on = cutting_world, tmp_path / "new", "mini-gpt/base"
    shutil.copytree(world.template.sources / on, folder)
    (folder / "notes.txt").write_text("Published while it was on hold.\n")
    holds.place(world.use, world.admin, on, "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    done = world.publish(folder, on)
    with pytest.raises(StageHeld):
        issuing.issue(world.use, world.caller("cleared"), world.order(on))
    world.lift(on)
    cutting.carry_out(world.use)
    download = issuing.issue(world.use, world.caller("cleared"), world.order(on))
    assert world.records("download")[-1]["checkpoint"] == done.checkpoint_id
    assert {probes.status_of(url) for url in download.urls} == {200}


def test_a_signer_that_cannot_sign_now_is_told(cutting_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role whose credentials end makes no canary: nothing is claimed, and the worker lives."""
    world = cutting_world

    def refuse(*_: object, **__: object) -> list[str]:
        raise OutsideFault("the signer's role credentials end in 3 s and could not be renewed")

    monkeypatch.setattr(world.use.watched, "sign", refuse)
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    cutting.carry_out(world.use)
    cut = cut_of(world, "gpt-2")
    assert (cut.state, cut.way) == (CutState.FAILED, None)
    assert "could not be renewed" in (cut.told or "")
