"""Home: the ladder says to everybody what is open to them, and else why not and the one next step."""

from datetime import timedelta

from sqlalchemy import update

from server.domain.access import clearances, signatures
from server.domain.access.clearances import Clearance
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import agreements, holds, stages
from tests.visits import visit, words
from tests.world import World


def home(world: World, name: str | None) -> str:
    page = world.visit(name).get("/")
    assert page.status_code == 200
    return words(page)


def sign(world: World, name: str) -> int:
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    return signatures.sign(
        world.use, world.person(name), "model-sharing", version.sha256, "Una Owner", "Rector",
        "I sign for Birch University",
    ).id  # fmt: skip


def test_a_stranger_sees_what_is_public_and_where_to_sign_in(sqlite_world: World) -> None:
    """And no name of what is not."""
    page = sqlite_world.visit(None).get("/")
    assert "124M" in page.text
    assert 'href="/sign-in"' in page.text
    for hidden in ("774M", "1558M", "mini-gpt"):
        assert hidden not in page.text


def test_each_partner_reads_the_one_thing_that_is_missing(sqlite_world: World) -> None:
    """A signature, a clearance or nothing, as a link that leads to where it is done."""
    unsigned = sqlite_world.visit("unsigned").get("/").text
    assert 'href="/agreements/model-sharing">Sign model-sharing' in unsigned
    assert "To open gpt-2/774M and mini-gpt/base" in words(sqlite_world.visit("unsigned").get("/"))
    uncleared = sqlite_world.visit("uncleared").get("/").text
    assert 'href="/requests/new?stage=gpt-2/774M">Request access' in uncleared
    assert "can download 4 of 5 released stages" in home(sqlite_world, "cleared")
    assert 'href="/stages/gpt-2/774M/main">Download' in sqlite_world.visit("cleared").get("/").text


def test_a_planned_stage_shows_name_and_plan_alone(sqlite_world: World) -> None:
    """Only staff see its size; one that is not announced is seen by nobody else."""
    stages.add(sqlite_world.use, sqlite_world.admin, "gpt-2/9999M", tier="research", parameters=9_999_000_000)
    partner, staff = home(sqlite_world, "cleared"), home(sqlite_world, "auditor")
    assert "1558M planned In a few months" in partner
    assert "1 558 million" not in partner.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "1 558 million" in staff.replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "9999M" not in partner
    assert "9999M" in staff


def test_a_signature_opens_a_stage_once_it_is_countersigned_and_until_it_is_replaced(sqlite_world: World) -> None:
    """Each step in its own words: sign, wait for the lab, open, sign the new version."""
    signature = sign(sqlite_world, "unsigned")
    assert "It is in force once the lab has countersigned" in home(sqlite_world, "unsigned")
    signatures.countersign(sqlite_world.use, sqlite_world.admin, signature)
    assert "can download 4 of 5 released stages" in home(sqlite_world, "unsigned")
    agreements.publish(sqlite_world.use, sqlite_world.admin, "model-sharing", "# New terms\n\nBe careful.")
    assert "has been replaced by version 2" in home(sqlite_world, "unsigned")
    assert ">Sign v2<" in sqlite_world.visit("unsigned").get("/").text


def test_a_new_version_is_asked_for_by_a_day(sqlite_world: World) -> None:
    """The owner is told until when, a member whom to ask; signed, the rest is the lab's; the agreement says it too."""
    world = sqlite_world
    by = f"{(world.clock() + timedelta(days=9)):%-d %B %Y}"
    form = {"name": "model-sharing", "text": "# New terms\n\nBe careful.", "act": "publish", "resign_within": "9"}
    assert world.visit("admin").post("/admin/publish-agreement", form | {"resign_within": "x"}).status_code == 422
    assert world.visit("admin").post("/admin/publish-agreement", form | {"resign_within": "400"}).status_code == 422
    assert world.visit("admin").post("/admin/publish-agreement", form).status_code == 303
    assert f"Sign version 2 of model-sharing by {by}." in home(world, "cleared")
    assert "can download 4 of 5 released stages" in home(world, "cleared")
    shown = words(world.visit("cleared").get("/agreements/model-sharing"))
    assert f"Your signature counts until the end of {by}" in shown
    assert f"Signatures of version 1 count until the end of {by}" in words(
        world.visit("auditor").get("/admin/agreements/model-sharing")
    )
    world.add_person("aurora-institute", "member@aurora-institute.example", Role.MEMBER)
    member = visit(world.client.application, world.use, "member@aurora-institute.example")
    assert "Ask an owner to sign version 2 of model-sharing" in words(member.get("/"))
    assert "of model-sharing by" not in home(world, "unsigned")
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    signatures.sign(
        world.use, world.person("cleared"), "model-sharing", version.sha256, signer_name="Iris Okafor",
        signer_title="Dean", statement="I sign for Aurora Institute",
    )  # fmt: skip
    assert f"The lab must countersign it by {by}." in home(world, "cleared")
    world.clock.advance(timedelta(days=10))
    assert "in force once the lab has countersigned" in home(world, "cleared")


def test_access_that_ends_soon_is_said_before_it_ends_and_after(sqlite_world: World) -> None:
    """Within thirty days; then the next step is to ask again."""
    assert "access ends" not in home(sqlite_world, "cleared")
    with sqlite_world.use.database.transaction() as session:
        session.execute(update(Clearance).values(expires_at=sqlite_world.clock() + timedelta(days=6)))
    assert "Your access ends in 6 days" in home(sqlite_world, "cleared")
    sqlite_world.clock.advance(timedelta(days=7))
    assert "Your organization's access has ended." in home(sqlite_world, "cleared")
    assert "Request access again" in home(sqlite_world, "cleared")


def test_a_hold_and_a_revocation_show_at_once(sqlite_world: World) -> None:
    """Nothing about access is kept from one page to the next."""
    holds.place(sqlite_world.use, sqlite_world.admin, "gpt-2/774M", "A finding is looked into.")
    assert "On hold: nobody can download it for now." in home(sqlite_world, "cleared")
    with sqlite_world.use.database.reading() as session:
        mine = clearances.visible(session, sqlite_world.person("cleared"), Slice(10)).items
    for clearance in mine:
        clearances.revoke(sqlite_world.use, sqlite_world.admin, clearance.id)
    assert "can download 2 of 5 released stages" in home(sqlite_world, "cleared")
