"""Checklists: each task of a stage, whose it is, how far it is and since when; asking and signing go side by side."""

from datetime import timedelta

from server.domain.access import access_requests, clearances, ladder, signatures
from server.domain.access.checklists import Item, Task
from server.domain.callers import Caller
from server.domain.release import agreements
from tests.world import World

STAGE = "gpt-2/774M"


def checklist(world: World, caller: Caller, stage: str = STAGE) -> dict[Task, Item]:
    with world.use.database.reading() as session:
        return {item.task: item for item in ladder.step(session, world.use, caller, stage).checklist}


def progress(world: World, caller: Caller, stage: str = STAGE) -> str:
    """A letter for each task: done, ready or later."""
    return "".join(str(item.progress)[0] for item in checklist(world, caller, stage).values())


def ask(world: World, caller: Caller, tier: str = "research", model: str = "gpt-2") -> int:
    until = world.clock() + timedelta(days=90)
    return access_requests.create(world.use, caller, model, tier, purpose="Study.", wanted_until=until).id


def sign(world: World, caller: Caller) -> int:
    with world.use.database.reading() as session:
        _, version = agreements.find_version(session, "model-sharing")
    return signatures.sign(
        world.use, caller, "model-sharing", version.sha256, "Carla", "Rector", "I sign for Cedar Systems"
    ).id


def test_a_stage_opens_task_by_task(world: World) -> None:
    """Requested, approved by one admin and by another; signed and countersigned; then nothing is left."""
    caller = world.person("uncleared")
    assert list(checklist(world, caller)) == list(Task)
    assert progress(world, caller) == "rllrl"
    number = ask(world, caller)
    assert progress(world, caller) == "drlrl"
    asked = checklist(world, caller)
    assert asked[Task.REQUEST].number == number
    assert asked[Task.FIRST_APPROVAL].since == asked[Task.REQUEST].since is not None
    made = access_requests.approve(world.use, world.admin, number).clearance
    assert made is not None
    assert progress(world, caller) == "ddrrl"
    assert checklist(world, caller)[Task.SECOND_APPROVAL].since == made.proposed_at
    signature = sign(world, caller)
    assert progress(world, caller) == "ddrdr"
    signatures.countersign(world.use, world.admin, signature)
    assert progress(world, caller) == "ddrdd"
    clearances.approve(world.use, world.admin2, made.id)
    assert progress(world, caller) == ""
    with world.use.database.reading() as session:
        assert ladder.step(session, world.use, caller, STAGE).refused is None


def test_a_request_counts_where_it_opens_something(world: World) -> None:
    """Not on a stage of a higher tier, nor on another model's; a signature counts wherever it is asked for."""
    caller = world.person("uncleared")
    ask(world, caller, model="mini-gpt")
    assert progress(world, caller, "mini-gpt/base") == "drlrl"
    assert progress(world, caller, "mini-gpt/large") == progress(world, caller) == "rllrl"
    with world.use.database.reading() as session:
        large = ladder.step(session, world.use, caller, "mini-gpt/large")
        assert (large.next_step, large.request_id) == (ladder.NextStep.REQUEST, None)
    sign(world, caller)
    assert progress(world, caller, "mini-gpt/large") == "rlldr"


def test_a_new_version_is_signed_anew(sqlite_world: World) -> None:
    """The clearance stays; the checklist names the version."""
    world = sqlite_world
    agreements.publish(world.use, world.admin, "model-sharing", "# New terms\n\nBe careful.")
    caller = world.person("cleared")
    assert progress(world, caller) == "dddrl"
    assert checklist(world, caller)[Task.SIGNATURE].number == 2


def test_nobody_has_a_checklist_where_nothing_can_be_done(sqlite_world: World) -> None:
    """Of what is open, planned or public; and the lab has none, nor has who is not signed in."""
    world = sqlite_world
    for name, stage in (
        ("cleared", STAGE),
        ("uncleared", "gpt-2/1558M"),
        ("uncleared", "gpt-2/124M"),
        ("admin", STAGE),
    ):
        assert progress(world, world.person(name), stage) == "", (name, stage)


def test_below_the_second_persons_tier_there_is_one_approval(sqlite_world: World) -> None:
    """The checklist asks for no admin who is not needed."""
    world = sqlite_world
    settings = world.use.settings.model_copy(update={"second_person_tier": "partner"})
    world.use.settings = settings
    assert progress(world, world.person("uncleared")) == "rlrl"
    assert progress(world, world.person("uncleared"), "mini-gpt/large") == "rllrl"
