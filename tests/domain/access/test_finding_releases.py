"""Releases: other partners read a finding when its reporter allows it, after its embargo, and when the lab says so."""

from datetime import timedelta

import pytest

from server.domain.access import finding_releases
from server.domain.access.finding_releases import release
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.mail.mails import Mail
from server.domain.paging import Slice
from server.domain.release import findings
from tests.findings import report
from tests.world import World

DAY = timedelta(days=1)
OTHERS = ["birch-university", "cedar-systems"]


def shown(world: World, who: str) -> list[int]:
    with world.use.database.reading() as session:
        return [one.id for one in findings.visible(session, world.person(who), Slice(50)).items]


def candidates(world: World, number: int) -> list[str]:
    with world.use.database.reading() as session:
        finding = findings.get(session, world.admin, number)
        return [one.slug for one in finding_releases.candidates(session, finding, world.clock())]


def test_a_finding_is_its_reporter_s_organization_s_and_the_lab_s(world: World) -> None:
    """Nobody else learns that it is there."""
    number = report(world)
    for who in ("cleared", "admin", "publisher", "auditor"):
        assert shown(world, who) == [number]
    assert shown(world, "unsigned") == []
    with world.use.database.reading() as session, pytest.raises(NotFound):
        findings.get(session, world.person("unsigned"), number)


def test_a_released_finding_is_read_by_whom_it_was_released_to(world: World) -> None:
    """And by nobody else; the entry names them, and concerns no partner."""
    number = report(world, stage="gpt-2/124M", may_publish=True)
    assert candidates(world, number) == OTHERS
    release(world.use, world.admin, number, ["birch-university"])
    assert (shown(world, "unsigned"), shown(world, "uncleared")) == ([number], [])
    assert candidates(world, number) == ["cedar-systems"]
    (record,) = world.records("finding.release")
    assert record["to"] == ["birch-university"]
    assert world.entries("finding.release")[0].organization_id is None
    with world.use.database.reading() as session:
        (mail,) = session.query(Mail).filter_by(kind="finding_released")
        finding = findings.get(session, world.person("unsigned"), number)
        assert not findings.is_own(world.person("unsigned"), finding)
        assert finding_releases.released_to(session, world.person("cleared"), finding) == []
        (reader,) = finding_releases.released_to(session, world.person("auditor"), finding)
        assert reader.organization.slug == "birch-university"
    assert mail.recipient == world.person("unsigned").person
    assert "Aurora" not in mail.text


def test_a_stage_for_partners_has_its_findings_released_to_who_is_cleared(world: World) -> None:
    """Now, and for its tier: nobody learns from a finding of what they may not have."""
    number = report(world, may_publish=True)
    assert candidates(world, number) == ["birch-university"]
    with pytest.raises(InvalidRequest):
        release(world.use, world.admin, number, OTHERS)
    assert world.entries("finding.release") == []
    above = report(world, world.admin, stage="mini-gpt/large", may_publish=True)
    assert candidates(world, above) == []


def test_nothing_is_released_before_its_embargo_ends(world: World) -> None:
    """On the day itself it is free: until then nobody but its reporter's organization and the lab."""
    number = report(
        world, stage="gpt-2/124M", may_publish=True, embargo_until=(world.clock() + 2 * DAY).date()
    )  # fmt: skip
    for _ in range(2):
        with pytest.raises(NotPossible, match="embargo"):
            release(world.use, world.admin, number, OTHERS)
        world.clock.advance(DAY)
    release(world.use, world.admin, number, OTHERS)
    assert shown(world, "uncleared") == [number]


def test_what_may_not_be_shared_is_never_released(world: World) -> None:
    """Whoever asks, and whenever."""
    number = report(world, stage="gpt-2/124M")
    with pytest.raises(NotPossible, match="did not allow"):
        release(world.use, world.admin, number, OTHERS)


@pytest.mark.parametrize("to", [[], ["aurora-institute"], ["example-lab"], ["nobody"]])
def test_it_is_released_to_those_who_may_have_the_stage_and_not_the_finding(sqlite_world: World, to: list[str]) -> None:
    """Neither to nobody, nor to its reporter, nor to the lab."""
    number = report(sqlite_world, stage="gpt-2/124M", may_publish=True)
    with pytest.raises(InvalidRequest):
        release(sqlite_world.use, sqlite_world.admin, number, to)


def test_only_an_admin_releases(sqlite_world: World) -> None:
    """Not its reporter, who publishes it elsewhere if they wish; and there must be one."""
    number = report(sqlite_world, stage="gpt-2/124M", may_publish=True)
    for who in ("cleared", "publisher", "auditor"):
        with pytest.raises(NotPermitted):
            release(sqlite_world.use, sqlite_world.person(who), number, OTHERS)
    with pytest.raises(NotFound):
        release(sqlite_world.use, sqlite_world.admin, 99, OTHERS)
