"""Statement counts: a page or a list of stages asks the database as often for six hundred stages as for six."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import bindparam, insert, select

from server.domain.access.quotas import QuotaHour
from server.domain.release.agreements import Agreement
from server.domain.release.stages import Model, Stage, StageState
from server.domain.release.tiers import Tier
from server.storage.statements import Statement
from tests.counting import counted
from tests.world import World

AT_MOST = 12
MORE = 594  # with the six of the example: 600


def page(path: str, name: str | None) -> Callable[[World], Callable[[], Any]]:
    """A page, as a person of the example (None: nobody) opens it."""

    def prepare(world: World) -> Callable[[], Any]:
        visit = world.visit(name)
        return lambda: visit.get(path)

    return prepare


def call(path: str, token: str | None) -> Callable[[World], Callable[[], Any]]:
    """A call of the API, with a token of the example."""
    return lambda world: lambda: world.api("GET", path, token)


ASKED = {
    "home, partner": page("/", "cleared"),
    "home, unsigned partner": page("/", "unsigned"),
    "home, staff": page("/", "admin"),
    "home, stranger": page("/", None),
    "stages, partner": call("/stages?limit=200", "cleared"),
    "stages, staff": call("/stages?limit=200", "auditor"),
    "stages, stranger": call("/stages?limit=200", None),
    "one stage, partner": call("/stages/gpt-2/774M", "cleared"),
    "one stage's page, partner": page("/stages/gpt-2/774M", "cleared"),
    "releases, stranger": call("/releases", None),
    "releases' page, stranger": page("/releases", None),
    "releases' feed, stranger": page("/releases.atom", None),
    "the lab's stages": page("/admin/stages", "admin"),
}


def add_stages(world: World) -> None:
    """Many more, past the commands: some public, some planned, with and without the agreement, on both models."""
    states = (StageState.PARTNERS, StageState.PARTNERS, StageState.PUBLIC, StageState.PLANNED)
    with world.use.database.transaction() as session:
        models, tiers = session.scalars(select(Model.id)).all(), session.scalars(select(Tier.id)).all()
        agreement = session.scalars(select(Agreement.id)).first()
        session.execute(
            insert(Stage),
            [
                {
                    "model_id": models[n % len(models)], "name": f"more-{n}", "ordinal": 100 + n, "announced": True,
                    "state": states[n % 4], "state_since": world.clock(), "tier_id": tiers[n % len(tiers)],
                    "agreement_id": agreement if n % 3 else None, "created_at": world.clock(),
                }
                for n in range(MORE)
            ],
        )  # fmt: skip
    world.tampered = True  # no entry tells of them


def test_stages_are_loaded_in_as_many_statements_whatever_their_number(world: World) -> None:
    """Of the whole request, token and session included; and what is shown grows with the stages."""
    asked = {name: prepare(world) for name, prepare in ASKED.items()}
    sizes, counts = [], []
    for is_large in (False, True):
        if is_large:
            add_stages(world)
        known, lengths = {}, {}
        for name, ask in asked.items():
            ask()  # what is read once a process is read now
            with counted(world.use.database) as seen:
                answer = ask()
            assert answer.status_code == 200
            known[name], lengths[name] = len(seen), len(answer.data)
        counts.append(known)
        sizes.append(lengths)
    print("statements at 6 and at 600 stages:", {name: (counts[0][name], counts[1][name]) for name in ASKED})
    assert counts[0] == counts[1]
    for name, count in counts[0].items():
        assert count <= AT_MOST, name
    grown = {name for name in ASKED if sizes[1][name] > 10 * sizes[0][name]}
    assert grown >= {"home, partner", "stages, partner", "stages, staff", "releases, stranger", "the lab's stages"}


class Named(NamedTuple):
    """A model's name."""

    name: str


@pytest.mark.parametrize("times", [1, 7])
def test_the_count_sees_every_way_to_ask(world: World, times: int) -> None:
    """The ORM, a statement on the driver, a look-up outside a transaction, and a write: each as often as it runs."""
    named = Statement(select(Model.name).where(Model.name == bindparam("name")), Named)
    database = world.use.database
    database.look_up(named, name="gpt-2")  # opens this thread's own connection
    with counted(database) as seen:
        for _ in range(times):
            database.look_up(named, name="gpt-2")
            with database.reading() as session:
                named.first(session, name="gpt-2")
                session.execute(select(Model.id))
            with database.transaction() as session:
                session.execute(insert(QuotaHour).values(organization_id=1, hour=1, issued_bytes=1))
                session.rollback()
    assert len(seen) == 4 * times, seen
    database.look_up(named, name="gpt-2")
    assert len(seen) == 4 * times
