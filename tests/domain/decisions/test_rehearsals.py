"""Rehearsals: before anything is proposed, who would gain what, who still must sign, and what forbids or overtakes."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from server.domain.access import clearances
from server.domain.decisions import rehearsals
from server.domain.decisions.rehearsals import NOBODY, Rehearsal
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.identity import organizations
from server.domain.mail.mails import Mail
from server.domain.release import holds
from server.domain.release.stages import StageState
from server.web.portal.admin import moves
from tests.visits import words
from tests.world import World

PARTNERS, PUBLIC = StageState.PARTNERS, StageState.PUBLIC


def rehearse(
    world: World, stage: str, to: StageState, by: str = "auditor", named_at_most: int | None = None
) -> Rehearsal:
    with world.use.database.reading() as session:
        return rehearsals.rehearse(session, world.person(by), stage, to, world.clock(), named_at_most=named_at_most)


def test_opening_to_partners_names_who_gains_and_who_lacks_a_signature(world: World) -> None:
    """By organization, with how many people; and nothing has happened."""
    found = rehearse(world, "gpt-2/1558M", PARTNERS)
    assert ([one.slug for one in found.gains.named], found.gains.people) == (["aurora-institute"], 1)
    assert [one.slug for one in found.unsigned.named] == ["birch-university"]
    assert (found.everyone, found.out_of_order, found.blocks) == (False, [], [])
    assert world.records("decision.execute")[-1]["on"] != "gpt-2/1558M"


def test_of_many_only_some_are_named_and_all_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many of each kind as are asked for; people of no more organizations than a page can count."""
    until = world.clock() + timedelta(days=30)
    for number in range(3):
        slug = f"partner-{number}"
        organizations.add(world.use, world.admin, slug, f"Partner {number}")
        made = clearances.propose(
            world.use, world.admin, slug, "gpt-2", "research", expires_at=until, purpose="A study."
        )
        clearances.approve(world.use, world.admin2, made.id)
    whole = rehearse(world, "gpt-2/1558M", PARTNERS)
    assert (whole.gains.count, whole.gains.people, whole.unsigned.count) == (1, 1, 4)
    for at_most, named in ((10, 4), (5, 4), (4, 4), (3, 3), (2, 2), (1, 1)):
        found = rehearse(world, "gpt-2/1558M", PARTNERS, named_at_most=at_most)
        assert found.gains == whole.gains
        assert (found.unsigned.count, len(found.unsigned.named)) == (4, named)
        assert {one.slug for one in found.unsigned.named} <= {one.slug for one in whole.unsigned.named}
    monkeypatch.setattr(rehearsals, "PEOPLE_COUNTED_OF", 0)
    assert rehearse(world, "gpt-2/1558M", PARTNERS, named_at_most=1).gains.people is None
    assert rehearse(world, "gpt-2/1558M", PARTNERS).gains.people == 1
    monkeypatch.setattr(moves, "NAMED", 1)
    page = words(world.visit("admin").get("/admin/stages/gpt-2/1558M/move/partners"))
    assert "1 organization. Aurora Institute , 1 person" in page
    assert "And 3 more" in page


def test_opening_to_everyone_says_so_and_what_it_overtakes(world: World) -> None:
    """1558M before 774M is out of the ladder's order; a hold forbids it."""
    holds.place(world.use, world.admin, "gpt-2", "Wait.")
    found = rehearse(world, "gpt-2/1542M", PUBLIC)
    assert (found.stage, found.everyone) == ("gpt-2/1558M", True)
    assert found.out_of_order == ["gpt-2/774M comes before it on the ladder and is partners."]
    assert found.blocks == ["There is a hold on gpt-2."]


def test_going_back_names_who_keeps_access(world: World) -> None:
    """Nobody gains, nothing is overtaken, and nothing forbids it."""
    holds.place(world.use, world.admin, "gpt-2", "Wait.")
    found = rehearse(world, "gpt-2/124M", PARTNERS)
    assert ([one.slug for one in found.keeps.named], found.gains) == (["aurora-institute"], NOBODY)
    assert (found.out_of_order, found.blocks) == ([], [])


def test_what_cannot_be_is_not_rehearsed(sqlite_world: World) -> None:
    """No state that it cannot reach, no stage that is not there, and nobody but staff."""
    with pytest.raises(NotPossible, match="cannot move to partners"):
        rehearse(sqlite_world, "gpt-2/774M", PARTNERS)
    with pytest.raises(NotFound):
        rehearse(sqlite_world, "gpt-2/9B", PUBLIC)
    with pytest.raises(NotPermitted):
        rehearse(sqlite_world, "gpt-2/774M", PUBLIC, by="cleared")


def test_who_lacks_a_signature_is_reminded_once_a_day(world: World) -> None:
    """Its owners get a mail; the second click of the day sends none, and who lacks nothing gets none at all."""
    rehearsals.remind(world.use, world.admin, "gpt-2/1558M", "birch-university")
    with pytest.raises(NotPossible, match="in the last 24 hours"):
        rehearsals.remind(world.use, world.admin2, "gpt-2/774M", "birch-university")
    world.clock.advance(timedelta(days=1, seconds=1))
    rehearsals.remind(world.use, world.admin2, "gpt-2/774M", "birch-university")
    for slug in ("aurora-institute", "cedar-systems"):
        with pytest.raises(NotFound, match="nothing left to sign"):
            rehearsals.remind(world.use, world.admin, "gpt-2/1558M", slug)
    with world.use.database.reading() as session:
        mails = session.scalars(select(Mail).where(Mail.kind == "signature_reminder")).all()
    assert [mail.recipient for mail in mails] == ["owner@birch-university.example"] * 2
    assert mails[0].text.startswith(f"Read and sign it: {world.settings.public_url}/agreements/model-sharing\n")
