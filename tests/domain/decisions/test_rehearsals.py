"""Rehearsals: before anything is proposed, who would gain what, who still must sign, and what forbids or overtakes."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from server.domain.decisions import rehearsals
from server.domain.decisions.rehearsals import Rehearsal
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.mail.mails import Mail
from server.domain.release import holds
from server.domain.release.stages import StageState
from tests.world import World

PARTNERS, PUBLIC = StageState.PARTNERS, StageState.PUBLIC


def rehearse(world: World, stage: str, to: StageState, by: str = "auditor") -> Rehearsal:
    with world.use.database.reading() as session:
        return rehearsals.rehearse(session, world.person(by), stage, to, world.clock())


def test_opening_to_partners_names_who_gains_and_who_lacks_a_signature(world: World) -> None:
    """By organization, with how many people; and nothing has happened."""
    found = rehearse(world, "gpt-2/1558M", PARTNERS)
    assert ([one.slug for one in found.gains], found.people) == (["aurora-institute"], 1)
    assert [one.slug for one in found.unsigned] == ["birch-university"]
    assert (found.everyone, found.out_of_order, found.blocks) == (False, [], [])
    assert world.records("decision.execute")[-1]["on"] != "gpt-2/1558M"


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
    assert ([one.slug for one in found.keeps], found.gains) == (["aurora-institute"], [])
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
