"""Access requests: asked for by a partner, turned into a clearance by two admins, or declined with a reason."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, select, text

from server.domain.access import access_requests, clearances
from server.domain.access.access_requests import LONGEST, AccessRequest
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.identity import people
from server.domain.mail.mails import Mail
from server.domain.operation import queue
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import stages
from tests.world import World

DAY = timedelta(days=1)


def ask(
    world: World, by: str = "uncleared", model: str = "gpt-2", tier: str = "research", **more: Any
) -> AccessRequest:
    known: dict[str, Any] = {"purpose": "Study of misuse.", "wanted_until": world.clock() + 90 * DAY}
    return access_requests.create(world.use, world.person(by), model, tier, **(known | more))


def of(world: World, request_id: int, by: str = "admin") -> AccessRequest:
    with world.use.database.reading() as session:
        return access_requests.get(session, world.person(by), request_id)


def told(world: World) -> dict[str, list[tuple[str, str]]]:
    """The outbox by kind: subject and recipient of each. It is empty afterwards."""
    found: dict[str, list[tuple[str, str]]] = {}
    with world.use.database.transaction() as session:
        for mail in session.scalars(select(Mail).order_by(Mail.id)):
            found.setdefault(mail.kind, []).append((mail.subject, mail.recipient))
        session.execute(delete(Mail))
    return found


def test_a_request_becomes_a_clearance_by_two_admins(world: World) -> None:
    """The admin who takes it up counts as its proposer; it is in force, and people are told, when another approves."""
    told(world)
    request = ask(world)
    asker = world.person("uncleared")
    subject = "Cedar Systems requests access to research on gpt-2"
    assert told(world) == {
        "access_request": [(subject, str(world.person(name).person)) for name in ("admin", "admin2")]
    }

    request = access_requests.approve(world.use, world.admin, request.id)
    waits = "Approval needed: research on gpt-2 for Cedar Systems"
    assert told(world) == {"clearance_waits": [(waits, str(world.admin2.person))]}
    made = request.clearance
    assert made is not None
    assert (made.state_at(world.clock()), made.proposed_by, made.asked_by) == (
        "proposed", world.admin.person_id, asker.person_id,
    )  # fmt: skip
    assert (made.expires_at, made.purpose) == (request.wanted_until, request.purpose)
    with pytest.raises(NotPossible, match="another admin must"):
        clearances.approve(world.use, world.admin, made.id)

    clearances.approve(world.use, world.admin2, made.id)
    assert told(world) == {"access_approved": [("Approved: research on gpt-2", str(asker.person))]}
    assert of(world, request.id).state == "approved"
    assert [entry.kind for entry in world.entries()][-4:] == [
        "access_request.create", "clearance.propose", "access_request.approve", "clearance.approve",
    ]  # fmt: skip
    record = world.records("access_request.approve")[-1]
    assert (record["access_request"], record["clearance"], record["actor"]["person"]) == (
        request.id, made.id, world.admin.person,
    )  # fmt: skip

    clearances.revoke(world.use, world.admin, made.id)
    assert told(world) == {"access_revoked": [("Revoked: research on gpt-2", str(asker.person))]}


def test_below_the_second_persons_tier_one_admin_is_enough(sqlite_world: World) -> None:
    """Then the request's own decision puts the clearance into force, until the day that the admin chose."""
    world = sqlite_world
    stages.add(world.use, world.admin, "gpt-2/tiny", tier="registered", announced=True)
    request = ask(world, tier="registered")
    told(world)
    ends = world.clock() + 3 * DAY
    request = access_requests.approve(world.use, world.admin, request.id, expires_at=ends)
    assert request.clearance is not None
    assert (request.clearance.state_at(world.clock()), request.clearance.expires_at) == ("active", ends)
    assert list(told(world)) == ["access_approved"]


def test_declining_says_why(sqlite_world: World) -> None:
    """To who asked and to the organization's owners, each once, and to nobody who is disabled."""
    world = sqlite_world
    owner = world.person("uncleared")
    for name, role in (("member", Role.MEMBER), ("second", Role.OWNER), ("gone", Role.OWNER)):
        email = f"{name}@cedar.example"
        people.add(world.use, owner, "cedar-systems", email, name, role, "a long enough password")
        world.example.people[name] = {"email": email}
    people.disable(world.use, owner, "gone@cedar.example")
    request = ask(world, by="member")
    told(world)
    access_requests.decline(world.use, world.admin, request.id, "  Not yet: ask in May. ")
    assert told(world) == {
        "access_declined": [
            ("Declined: research on gpt-2", str(address))
            for address in (owner.person, "member@cedar.example", "second@cedar.example")
        ]
    }
    assert (of(world, request.id).state, of(world, request.id).declined_because) == ("declined", "Not yet: ask in May.")
    assert world.records("access_request.decline")[-1]["because"] == "Not yet: ask in May."


def test_a_second_admin_who_says_no_is_told_to_who_asked(sqlite_world: World) -> None:
    """A proposal that is revoked before it is in force ends the request; nobody loses anything."""
    request = access_requests.approve(sqlite_world.use, sqlite_world.admin, ask(sqlite_world).id)
    told(sqlite_world)
    clearances.revoke(sqlite_world.use, sqlite_world.admin2, request.clearance_id or 0)
    assert list(told(sqlite_world)) == ["access_declined"]


def test_one_request_for_a_model_is_open_at_a_time(sqlite_world: World) -> None:
    """Withdrawn or decided, it makes room for the next; other models and organizations are no matter."""
    world = sqlite_world
    first = ask(world)
    with pytest.raises(NotPossible, match=f"Request {first.id} .* still open"):
        ask(world, tier="partner")
    ask(world, model="mini-gpt")
    ask(world, by="cleared", model="mini-gpt", tier="partner")
    access_requests.withdraw(world.use, world.person("uncleared"), first.id)
    assert of(world, first.id).state == "withdrawn"
    second = ask(world)
    access_requests.decline(world.use, world.admin, second.id, "No.")
    ask(world)


def test_a_request_takes_the_place_of_an_open_one(world: World) -> None:
    """In one moment: the old one is withdrawn, and there is never none and never two; nobody replaces another's."""
    wrong = ask(world, model="mini-gpt", tier="partner")
    right = ask(world, model="mini-gpt", tier="research", replaces=wrong.id)
    assert (of(world, wrong.id).state, of(world, right.id).state) == ("withdrawn", "open")
    assert [entry.kind for entry in world.entries()][-2:] == ["access_request.withdraw", "access_request.create"]
    with pytest.raises(NotPossible, match="was withdrawn"):
        ask(world, model="mini-gpt", replaces=wrong.id)
    with pytest.raises(NotFound):
        ask(world, by="cleared", model="mini-gpt", tier="partner", replaces=right.id)
    with pytest.raises(InvalidRequest):
        ask(world, model="mini-gpt", replaces=right.id, purpose=" ")
    assert of(world, right.id).state == "open"


def test_a_request_opens_something_that_is_not_open(world: World) -> None:
    """Not a tier that opens nothing, nor what is held for as long; longer than what is held is something new."""
    with pytest.raises(NotPossible, match="opens no stage of gpt-2"):
        ask(world, tier="registered")
    for tier in ("research", "partner"):  # no stage of gpt-2 needs more than research
        with pytest.raises(NotPossible, match="already has research on gpt-2 until"):
            ask(world, by="cleared", tier=tier)
    ask(world, by="cleared", wanted_until=world.clock() + LONGEST)
    ask(world, by="cleared", model="mini-gpt", tier="partner")


def test_the_tier_follows_from_the_stages(sqlite_world: World) -> None:
    """The lowest that opens all of them; of one model, and of what partners can have."""
    world = sqlite_world
    with world.use.database.reading() as session:
        assert access_requests.for_stages(session, ["mini-gpt/base"]) == ("mini-gpt", "research")
        assert access_requests.for_stages(session, ["mini-gpt/base", "mini-gpt/large"]) == ("mini-gpt", "partner")
        with pytest.raises(InvalidRequest, match="of one model"):
            access_requests.for_stages(session, ["mini-gpt/base", "gpt-2/774M"])
        for name in ("gpt-2/1558M", "gpt-2/124M", "gpt-9/1M", "nothing"):
            with pytest.raises(NotFound):
                access_requests.for_stages(session, [name])


def test_who_asks_all_day_is_told_to_come_back(sqlite_world: World) -> None:
    """Each request is a mail to every admin; withdrawing makes no room for more within the day."""
    world = sqlite_world
    for _ in range(20):
        access_requests.withdraw(world.use, world.person("uncleared"), ask(world).id)
    with pytest.raises(NotPossible, match="within 24 hours"):
        ask(world)
    ask(world, by="cleared", model="mini-gpt", tier="partner")
    world.clock.advance(DAY)
    ask(world)


ENDED: dict[str, Callable[[World, int], object]] = {
    "approved": lambda world, number: access_requests.approve(world.use, world.admin, number),
    "declined": lambda world, number: access_requests.decline(world.use, world.admin, number, "No."),
    "withdrawn": lambda world, number: access_requests.withdraw(world.use, world.person("uncleared"), number),
}


@pytest.mark.parametrize("then", list(ENDED))
@pytest.mark.parametrize("first", list(ENDED))
def test_what_is_decided_stays_so(sqlite_world: World, first: str, then: str) -> None:
    """Whoever comes second hears what the first one did."""
    number = ask(sqlite_world).id
    ENDED[first](sqlite_world, number)
    with pytest.raises(NotPossible, match=f"Request {number} was (already )?{first}"):
        ENDED[then](sqlite_world, number)
    assert of(sqlite_world, number).state == first


def test_two_admins_who_decide_at_once_decide_once(world: World) -> None:
    """One wins; the other sees who did what, and nothing of its own happened."""
    number = ask(world).id
    together, refused = threading.Barrier(2), list[str]()
    acts = (
        lambda: access_requests.approve(world.use, world.admin, number),
        lambda: access_requests.decline(world.use, world.admin2, number, "No."),
    )

    def decide(act: Callable[[], object]) -> None:
        together.wait()
        try:
            act()
        except NotPossible as error:
            refused.append(error.detail)

    threads = [threading.Thread(target=decide, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = of(world, number).state
    assert refused == [f"Request {number} was already {state} by {of(world, number).decider.name}."]  # type: ignore[union-attr]
    decided = [entry.kind for entry in world.entries() if entry.kind.startswith("access_request.")][1:]
    assert decided == [f"access_request.{'approve' if state == 'approved' else 'decline'}"]


def test_two_who_ask_at_once_ask_once(world: World) -> None:
    """An organization has no two open requests for a model, however fast its people are."""
    together, made = threading.Barrier(3), list[int]()
    person = world.person("uncleared")

    def create() -> None:
        together.wait()
        try:
            until = world.clock() + DAY
            request = access_requests.create(world.use, person, "gpt-2", "research", purpose="x", wanted_until=until)
            made.append(request.id)
        except NotPossible:
            pass

    threads = [threading.Thread(target=create) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_another_organizations_request_is_not_there(sqlite_world: World) -> None:
    """Not to see, not in the list, not to withdraw; one that never was answers alike."""
    world = sqlite_world
    number = ask(world).id
    answers = set()
    for wanted in (number, number + 1):
        with pytest.raises(NotFound) as seen:
            of(world, wanted, "cleared")
        with pytest.raises(NotFound) as withdrawn:
            access_requests.withdraw(world.use, world.person("cleared"), wanted)
        answers |= {one.value.detail.replace(str(wanted), "N") for one in (seen, withdrawn)}
    assert answers == {"There is no request N."}
    with world.use.database.reading() as session:
        for name, expected in (("cleared", []), ("uncleared", [number]), ("admin", [number]), ("auditor", [number])):
            page = access_requests.visible(session, world.person(name), Slice(10))
            assert [request.id for request in page.items] == expected


ACTS: dict[str, Callable[[World, str], object]] = {
    "ask": lambda world, by: ask(world, by),
    "withdraw": lambda world, by: access_requests.withdraw(world.use, world.person(by), 1),
    "approve": lambda world, by: access_requests.approve(world.use, world.person(by), 1),
    "decline": lambda world, by: access_requests.decline(world.use, world.person(by), 1, "No."),
}


@pytest.mark.parametrize(
    ("act", "by"),
    [(act, by) for act in ("ask", "withdraw") for by in ("admin", "publisher", "auditor")]
    + [(act, by) for act in ("approve", "decline") for by in ("uncleared", "publisher", "auditor")],
)
def test_the_lab_does_not_ask_and_partners_do_not_decide(sqlite_world: World, act: str, by: str) -> None:
    """Each side its own."""
    ask(sqlite_world)
    with pytest.raises(NotPermitted):
        ACTS[act](sqlite_world, by)


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ({"purpose": " "}, InvalidRequest),
        ({"purpose": "x" * 10_001}, InvalidRequest),
        ({"purpose": "a\x00b"}, InvalidRequest),
        ({"purpose": "a\ud800b"}, InvalidRequest),
        ({"wanted": timedelta(0)}, InvalidRequest),
        ({"wanted": -DAY}, InvalidRequest),
        ({"wanted": LONGEST + DAY}, InvalidRequest),
        ({"model": "gpt-9"}, NotFound),
        ({"tier": "emperor"}, NotFound),
    ],
)
def test_what_cannot_be_asked_for(sqlite_world: World, more: dict[str, Any], refusal: type[Refused]) -> None:
    """It leaves no request, no mail and no entry."""
    world = sqlite_world
    if "wanted" in more:
        more = {"wanted_until": world.clock() + more["wanted"]}
    told(world)
    with pytest.raises(refusal):
        ask(world, **more)
    assert told(world) == {}
    assert world.entries("access_request.create") == []


def test_a_model_that_is_only_planned_is_not_there(sqlite_world: World) -> None:
    """A request must not be a way to find out what the lab trains."""
    with sqlite_world.use.database.transaction() as session:
        session.execute(text("UPDATE stages SET state = 'planned', announced = false"))
    with pytest.raises(NotFound, match="There is no model gpt-2"):
        ask(sqlite_world)


@pytest.mark.parametrize("because", ["", " ", "x" * 10_001, "a\x00b"])
def test_no_is_not_an_answer_without_a_reason(sqlite_world: World, because: str) -> None:
    """The request stays open."""
    number = ask(sqlite_world).id
    with pytest.raises(InvalidRequest, match="reason"):
        access_requests.decline(sqlite_world.use, sqlite_world.admin, number, because)
    assert of(sqlite_world, number).state == "open"


def test_a_request_whose_day_has_passed_needs_another(sqlite_world: World) -> None:
    """What the partner asked for is then no use; nothing has happened."""
    number = ask(sqlite_world, wanted_until=sqlite_world.clock() + DAY).id
    sqlite_world.clock.advance(2 * DAY)
    with pytest.raises(InvalidRequest, match="must end after it starts"):
        access_requests.approve(sqlite_world.use, sqlite_world.admin, number)
    assert of(sqlite_world, number).state == "open"
    ends = sqlite_world.clock() + DAY
    assert access_requests.approve(sqlite_world.use, sqlite_world.admin, number, expires_at=ends).state == "approved"


def test_the_queue_holds_what_is_open_oldest_first(sqlite_world: World) -> None:
    """What was decided or taken back waits no longer."""
    world = sqlite_world
    numbers = [
        ask(world).id,
        ask(world, by="cleared", model="mini-gpt", tier="partner").id,
        ask(world, model="mini-gpt").id,
    ]
    access_requests.decline(world.use, world.admin, numbers[0], "No.")
    with world.use.database.reading() as session:
        waiting = queue.waiting(session, world.admin, world.clock()).requests
    assert [request.id for request in waiting.items] == numbers[1:]


def test_an_organizations_list_is_read_from_an_index(world: World) -> None:
    """It neither reads nor sorts all that was ever asked."""
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    with world.use.database.reading() as session:
        connection = session.connection()
        if world.kind == "postgresql":  # on a table of no rows it would not look for an index
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            connection.exec_driver_sql("SET LOCAL enable_sort = off")
        event.listen(connection, "before_cursor_execute", remember)
        access_requests.visible(session, world.person("uncleared"), Slice(50, 7))
        event.remove(connection, "before_cursor_execute", remember)
        ((query, values),) = asked
        explain = "EXPLAIN QUERY PLAN" if world.kind == "sqlite" else "EXPLAIN"
        plan = "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {query}", values))
    assert "ix_access_requests_organization_id_id" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
