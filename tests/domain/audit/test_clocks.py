"""Clocks: one that ran ahead for seconds stops issuing until it is explained, and what is explained verifies."""

from datetime import timedelta

import pytest

from server.domain.access import clearances
from server.domain.audit import clocks, heartbeat, verifying
from server.domain.audit.replay import BACK
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPermitted, NotPossible
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.release import holds
from server.log import condition
from server.log.condition import LogUnsound
from tests.world import World

TWO_HOURS = timedelta(hours=2)


def run_ahead(world: World) -> None:
    """The clock jumps ahead, something is recorded, and the clock is right again."""
    world.clock.offset = TWO_HOURS
    clearances.revoke(world.use, world.admin, 2)
    world.seal()
    world.clock.offset = timedelta(0)


def test_a_jump_of_the_clock_stops_issuing_until_it_is_explained(world: World) -> None:
    """503 and not ready, whatever is appended meanwhile; then all goes on, and verification names what happened."""
    run_ahead(world)
    holds.place(world.use, world.admin, "mini-gpt", "Recorded with the right time, after the wrong one.")
    world.lift("mini-gpt")
    heartbeat.beat(world.use)
    with pytest.raises(LogUnsound, match=r"the clock is 7[12]\d\d s behind the newest entry: correct it"):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    with pytest.raises(NotReady, match="log acknowledge-clock"):
        require_ready(world.use)
    world.seal()
    assert {fault.sentence for fault in world.faults()} == {BACK}

    assert clocks.acknowledge(world.use, world.admin, "NTP was misconfigured.") in range(7100, 7201)
    issuing.issue(world.use, world.caller("cleared"), world.order())
    require_ready(world.use)
    world.seal()
    (result,) = verifying.verify(world.use)
    assert result.faults == []
    (note,) = result.notes
    assert note.startswith("entries are dated up to 7")
    assert note.endswith("NTP was misconfigured.")
    assert world.example.people["admin"]["email"] in note


def test_what_comes_after_an_explanation_is_judged_as_ever(world: World) -> None:
    """A second jump needs an explanation of its own."""
    run_ahead(world)
    clocks.acknowledge(world.use, world.admin, "The first time.")
    world.clock.offset = TWO_HOURS
    heartbeat.beat(world.use)
    world.clock.offset = timedelta(0)
    with pytest.raises(LogUnsound):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    clocks.acknowledge(world.use, world.admin, "The second time.")
    issuing.issue(world.use, world.caller("cleared"), world.order())


def test_there_must_be_something_to_explain(world: World) -> None:
    """A right clock needs no entry, and an entry that explains nothing is a fault."""
    with pytest.raises(NotPossible, match="There is nothing to acknowledge"):
        clocks.acknowledge(world.use, world.admin, "To be safe.")
    with pytest.raises(NotPermitted):
        clocks.acknowledge(world.use, world.person("cleared"), "I would rather.")


def test_the_log_and_the_domain_call_it_the_same() -> None:
    """The condition looks for the entry that the domain writes."""
    assert condition.CLOCK_ACKNOWLEDGED == EntryKind.CLOCK_ACKNOWLEDGE
