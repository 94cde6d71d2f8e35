"""The access rule: DESIGN's table in its order, on facts alone, on real rows, and against those who act meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from server.domain.access import clearances, counting_signatures, ladder, rule, signatures
from server.domain.access.facts import Facts
from server.domain.access.rule import Grant
from server.domain.callers import Caller
from server.domain.decisions import deciding, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.downloads import issuing
from server.domain.errors import (
    AgreementOutdated,
    AgreementUnsigned,
    AuthenticationRequired,
    ClearanceExpired,
    InvalidCredentials,
    NetworkNotAllowed,
    NotCleared,
    NotFound,
    OrganizationSuspended,
    PersonDisabled,
    QuotaExceeded,
    Refused,
    StageHeld,
    StageWithdrawn,
)
from server.domain.identity import people, tokens
from server.domain.operation import carrying_out
from server.domain.paging import Slice
from server.domain.permissions import Role, Scope
from server.domain.release import agreements, holds, stage_editing, stages
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from tests.world import STRANGER, World, cases

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAGE = "gpt-2/774M"
AGREEMENT = "model-sharing"
CLEARANCE = 1  # the cleared partner's on gpt-2
SIGNATURE = 1


# The rule on facts alone -------------------------------------------------------------------------------------------


def partner(**more: Any) -> Caller:
    known: dict[str, Any] = {
        "organization_id": 2, "person_id": 7, "role": Role.OWNER, "token_id": 5, "address": "192.0.2.7",
        "scopes": frozenset({Scope.DOWNLOADS_CREATE}),
    }  # fmt: skip
    return Caller(via="token", **(known | more))


def cleared(**more: Any) -> SimpleNamespace:
    known = {
        "id": 1, "starts_at": NOW - HOUR, "expires_at": NOW + HOUR, "approved_at": NOW - HOUR, "revoked_at": None,
        "rank": 20, "tier": "research",
    }  # fmt: skip
    return SimpleNamespace(**known | more)


def facts(**more: Any) -> Any:
    """Facts under which a partner may have a partners' stage."""
    known = {
        "caller": partner(),
        "standing": SimpleNamespace(
            person_id=7,
            revoked_at=None,
            expires_at=NOW + HOUR,
            networks="",
            scopes="downloads:create",
            suspended_at=None,
            disabled_at=None,
            role=more.get("caller", partner()).role,
        ),
        "stage": SimpleNamespace(
            state="partners", held_at=None, model_held_at=None, everything_held_at=None, rank=20, agreement_id=1
        ),
        "clearances": [cleared()],
        "agreement": SimpleNamespace(current_version_id=3, previous_version_id=2, resign_until=None),
        "signatures": [SimpleNamespace(id=1, version_id=3, ended_at=None)],
    }
    return SimpleNamespace(**known | more)


def refusal(given_facts: Any, **more: bool) -> type[Refused] | None:
    refused = rule.refusal(cast(Facts, given_facts), NOW, **more)
    return None if refused is None else type(refused)


def put(part: str, **values: Any) -> Callable[[Any], None]:
    """A change of one part of the facts."""

    def change(given_facts: Any) -> None:
        if set(values) == {"to"}:
            setattr(given_facts, part, values["to"])
        else:
            vars(getattr(given_facts, part)).update(values)

    return change


FAULTS: list[tuple[str, Callable[[Any], None], type[Refused]]] = [
    ("no credentials", put("caller", to=Caller(via="anonymous")), AuthenticationRequired),
    ("token gone", put("standing", to=None), InvalidCredentials),
    ("token revoked", put("standing", revoked_at=NOW - HOUR), InvalidCredentials),
    ("token expired", put("standing", expires_at=NOW), InvalidCredentials),
    ("token of somebody else now", put("standing", person_id=8), InvalidCredentials),
    ("wrong network", put("standing", networks="198.51.100.0/24"), NetworkNotAllowed),
    ("other scopes now", put("standing", scopes="stages:read"), InvalidCredentials),
    ("another role now", put("standing", role=Role.AUDITOR), InvalidCredentials),
    ("organization suspended", put("standing", suspended_at=NOW), OrganizationSuspended),
    ("person disabled", put("standing", disabled_at=NOW), PersonDisabled),
    ("no stage", put("stage", to=None), NotFound),
    ("planned", put("stage", state="planned"), NotFound),
    ("withdrawn", put("stage", state="withdrawn"), StageWithdrawn),
    ("stage held", put("stage", held_at=NOW), StageHeld),
    ("model held", put("stage", model_held_at=NOW), StageHeld),
    ("everything held", put("stage", everything_held_at=NOW), StageHeld),
    ("never cleared", put("clearances", to=[]), NotCleared),
    ("clearance of a lower tier", put("clearances", to=[cleared(rank=19)]), NotCleared),
    ("clearance not approved", put("clearances", to=[cleared(approved_at=None)]), NotCleared),
    ("clearance revoked", put("clearances", to=[cleared(revoked_at=NOW - HOUR)]), NotCleared),
    ("clearance to come", put("clearances", to=[cleared(starts_at=NOW + HOUR / 2)]), NotCleared),
    ("clearance expired", put("clearances", to=[cleared(expires_at=NOW)]), ClearanceExpired),
    ("agreement gone", put("agreement", to=None), AgreementUnsigned),
    ("unsigned", put("signatures", to=[]), AgreementUnsigned),
    ("signature ended", put("signatures", to=[SimpleNamespace(version_id=3, ended_at=NOW)]), AgreementUnsigned),
    ("outdated", put("signatures", to=[SimpleNamespace(version_id=2, ended_at=None)]), AgreementOutdated),
]
NAMES = [name for name, _, _ in FAULTS]


def test_nothing_refuses_a_cleared_and_signed_partner() -> None:
    """The facts that the other tests spoil are those of a yes."""
    assert refusal(facts()) is None


@pytest.mark.parametrize(("_name", "spoil", "code"), FAULTS, ids=NAMES)
def test_each_fault_alone_refuses_with_its_own_code(
    _name: str, spoil: Callable[[Any], None], code: type[Refused]
) -> None:
    """Every row of the table refuses by itself, and says what it is."""
    spoiled = facts()
    spoil(spoiled)
    assert refusal(spoiled) is code


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=NAMES)
def test_of_two_faults_the_earlier_row_answers(first: int) -> None:
    """Nobody learns anything of a later row while an earlier one refuses."""
    for second in range(first + 1, len(FAULTS)):
        spoiled = facts()
        for place in (second, first):
            with suppress(TypeError):  # what is gone cannot be spoiled further
                FAULTS[place][1](spoiled)
        assert refusal(spoiled) is FAULTS[first][2], NAMES[second]


@pytest.mark.parametrize(
    ("signatures", "code"),
    [
        ([(2, None), (3, NOW)], AgreementOutdated),
        ([(2, NOW), (3, NOW)], AgreementUnsigned),
        ([(3, NOW), (3, None)], None),
        ([(2, None), (3, None)], None),
    ],
)
def test_one_signature_in_force_of_the_current_version_is_enough(
    signatures: list[tuple[int, datetime | None]], code: type[Refused] | None
) -> None:
    """Ended and outdated signatures neither help nor harm beside one that counts."""
    rows = [SimpleNamespace(id=i, version_id=version, ended_at=end) for i, (version, end) in enumerate(signatures)]
    assert refusal(facts(signatures=rows)) is code


LATER, SOONER = NOW + HOUR, NOW - HOUR
# What is signed (of version 3, the current one, 2 before it, 1 before that; None: still in force), until when there is
# time to sign version 3, and what the rule says. Written by hand.
WINDOWS: list[tuple[list[tuple[int, datetime | None]], datetime | None, type[Refused] | None, int | None]] = [
    ([(2, None)], None, AgreementOutdated, None),
    ([(2, None)], LATER, None, 2),
    ([(2, None)], NOW, AgreementOutdated, None),  # the first moment at which it no longer counts
    ([(2, None)], NOW + timedelta(microseconds=1), None, 2),
    ([(2, None)], SOONER, AgreementOutdated, None),
    ([(2, SOONER)], LATER, AgreementUnsigned, None),  # the lab ended it
    ([(2, NOW)], LATER, AgreementUnsigned, None),
    ([(1, None)], LATER, AgreementOutdated, None),  # two versions back
    ([(1, None), (2, SOONER)], LATER, AgreementOutdated, None),
    ([(1, None), (2, None)], LATER, None, 2),
    ([(2, None), (3, None)], LATER, None, 3),  # the current one is what it rests on, whichever is older
    ([(3, None), (2, None)], LATER, None, 3),
    ([(3, SOONER), (2, None)], LATER, None, 2),
    ([(3, None)], SOONER, None, 3),
    ([], LATER, AgreementUnsigned, None),
]


@pytest.mark.parametrize(("signatures", "until", "code", "rests_on"), WINDOWS)
def test_while_there_is_time_to_sign_again_the_version_before_counts(
    signatures: list[tuple[int, datetime | None]],
    until: datetime | None,
    code: type[Refused] | None,
    rests_on: int | None,
) -> None:
    """A signature of it that the lab has not ended; never one of two versions back; after the time only the new one."""
    rows = [SimpleNamespace(id=number, version_id=number, ended_at=end) for number, end in signatures]
    given_facts = facts(signatures=rows)
    put("agreement", resign_until=until)(given_facts)
    assert refusal(given_facts) is code
    found = counting_signatures.counting(given_facts.agreement, given_facts.signatures, NOW)
    assert (found and found.version_id) == rests_on


def test_a_first_version_has_none_before_it() -> None:
    """Whatever its row says of a time to sign again: no signature is of no version."""
    given_facts = facts(signatures=[SimpleNamespace(id=1, version_id=None, ended_at=NOW)])
    put("agreement", resign_until=LATER, previous_version_id=None)(given_facts)
    assert refusal(given_facts) is AgreementUnsigned


@pytest.mark.parametrize("bad", [{"revoked_at": NOW}, {"approved_at": None}, {"rank": 10}, {"expires_at": NOW}])
def test_a_second_clearance_that_holds_is_enough(bad: dict[str, Any]) -> None:
    """A clearance that does not count takes nothing from another that does."""
    assert refusal(facts(clearances=[cleared(**bad), cleared()])) is None


@pytest.mark.parametrize("role", [Role.ADMIN, Role.PUBLISHER, Role.AUDITOR])
@pytest.mark.parametrize("change", [{"state": "planned"}, {"state": "withdrawn"}, {"held_at": NOW}])
def test_staff_look_at_every_stage_but_download_only_when_cleared(role: Role, change: dict[str, Any]) -> None:
    """Looking after a stage is no clearance for its weights."""
    looking = facts(caller=partner(role=role), clearances=[], signatures=[])
    put("stage", **change)(looking)
    assert refusal(looking, staff_may_look=True) is None
    assert refusal(looking) in {NotCleared, StageWithdrawn, StageHeld}


def test_a_suspended_organization_s_staff_do_not_look_either() -> None:
    """Rows 1 and 2 come before what staff may see."""
    looking = facts(caller=partner(role=Role.ADMIN))
    put("standing", disabled_at=NOW)(looking)
    assert refusal(looking, staff_may_look=True) is PersonDisabled


def test_a_public_stage_asks_for_sign_in_only_where_the_settings_demand_it() -> None:
    """Without credentials a public stage opens, and nothing else does."""
    public = facts(caller=Caller(via="anonymous"), standing=None, clearances=[], signatures=[])
    put("stage", state="public")(public)
    assert refusal(public) is None
    assert refusal(public, sign_in_for_public=True) is AuthenticationRequired


def test_a_caller_of_an_organization_without_a_person_is_refused() -> None:
    """What cannot be anybody is nobody, even where all else would allow it."""
    assert refusal(facts(caller=partner(person_id=None, token_id=None), standing=None)) is InvalidCredentials


# What allows comes up more often than what refuses: else nearly every case would be refused by its first row.
rarely = st.sampled_from([None] * 9 + [NOW - HOUR])
mostly = st.sampled_from([NOW - HOUR] * 4 + [None])
earlier = st.sampled_from([NOW - HOUR] * 3 + [NOW, NOW + HOUR])
later = st.sampled_from([NOW + HOUR] * 3 + [NOW, NOW - HOUR])
some_clearances = st.lists(
    st.builds(
        cleared, starts_at=earlier, expires_at=later, approved_at=mostly, revoked_at=rarely,
        rank=st.sampled_from([10, 20, 30]),
    ),
    max_size=3,
)  # fmt: skip
some_signatures = st.lists(
    st.builds(SimpleNamespace, id=st.just(1), version_id=st.sampled_from([1, 2, 3]), ended_at=rarely), max_size=2
)
some_agreements = st.builds(
    SimpleNamespace, current_version_id=st.just(3), previous_version_id=st.just(2),
    resign_until=st.sampled_from([None, NOW - HOUR, NOW, NOW + HOUR]),
)  # fmt: skip
some_callers = st.one_of(
    st.just(Caller(via="anonymous")),
    st.builds(
        partner, role=st.sampled_from(Role), address=st.sampled_from([None, "192.0.2.7", "::ffff:192.0.2.7", "::1"])
    ),
)
some_standings = st.sampled_from([True] * 9 + [False]).flatmap(
    lambda there: st.builds(
        SimpleNamespace, person_id=st.sampled_from([7] * 9 + [8]), revoked_at=rarely, expires_at=later,
        networks=st.sampled_from(["", "192.0.2.0/24 2001:db8::/32"]), suspended_at=rarely, disabled_at=rarely,
        scopes=st.sampled_from(["downloads:create"] * 9 + ["stages:read"]),
    ) if there else st.none()
)  # fmt: skip
some_stages = st.sampled_from([True] * 9 + [False]).flatmap(
    lambda there: st.builds(
        SimpleNamespace, state=st.sampled_from(["partners"] * 4 + [*map(str, StageState), "unheard-of"]),
        held_at=rarely, model_held_at=rarely, everything_held_at=rarely, rank=st.just(20),
        agreement_id=st.sampled_from([None, 1]),
    ) if there else st.none()
)  # fmt: skip


@settings(max_examples=600)
@given(
    caller=some_callers, standing=some_standings, stage=some_stages, clearances=some_clearances,
    signatures=some_signatures, version=some_agreements, closed=st.booleans(),
    is_same_role=st.sampled_from([True] * 9 + [False]),
)  # fmt: skip
def test_yes_is_said_exactly_when_every_condition_holds(
    caller: Caller,
    standing: Any,
    stage: Any,
    clearances: list[Any],
    signatures: list[Any],
    version: Any,
    closed: bool,
    is_same_role: bool,
) -> None:
    """No combination of facts slips between the rows: this is the rule once more, as one condition."""
    agreement = None if stage is None or stage.agreement_id is None else version
    known = facts(caller=caller, standing=standing, stage=stage, clearances=clearances, agreement=agreement)
    known.signatures = signatures
    if standing is not None:
        standing.role = caller.role if is_same_role else "another"
    public = stage is not None and stage.state == "public"
    if caller.via == "anonymous":
        stands = public and not closed
    else:
        stands = (
            standing is not None
            and standing.person_id == caller.person_id
            and standing.revoked_at is None
            and standing.expires_at > NOW
            and (standing.networks == "" or caller.address in {"192.0.2.7", "::ffff:192.0.2.7"})
            and is_same_role
            and standing.scopes == "downloads:create"
            and standing.suspended_at is None
            and standing.disabled_at is None
        )
    staff = caller.role in {Role.ADMIN, Role.PUBLISHER, Role.AUDITOR}
    open_now = (
        stage is not None
        and not (stage.state == "planned" and not staff)
        and stage.state != "withdrawn"
        and stage.held_at is stage.model_held_at is stage.everything_held_at is None
    )
    covered = any(
        c.approved_at and not c.revoked_at and c.rank >= 20 and c.starts_at <= NOW < c.expires_at for c in clearances
    )
    count = {3, 2} if version.resign_until is not None and version.resign_until > NOW else {3}
    signed = agreement is None or any(s.version_id in count and s.ended_at is None for s in signatures)
    allowed = stands and open_now and (public or (covered and signed))
    assert (refusal(known, sign_in_for_public=closed) is None) == allowed


# The rule on the rows of a database --------------------------------------------------------------------------------


def decide(world: World, caller: Caller, stage: str = STAGE, checkpoint: str = "main", **more: Any) -> Grant:
    with world.use.database.transaction() as session:
        return rule.require(session, world.use, caller, stage, checkpoint, more.get("paths"))


def read(world: World, caller: Caller, stage: str = STAGE, checkpoint: str = "main") -> str:
    with world.use.database.reading() as session:
        return rule.require_reading(session, world.use, caller, stage, checkpoint)[0]


def know(world: World, caller: Caller, stage: str = STAGE) -> Any:
    with world.use.database.reading() as session:
        return rule.require_known(session, world.use, caller, stage)


def revise(use: Resources, admin: Caller) -> None:
    agreements.publish(use, admin, AGREEMENT, "# A new wording\n\nOther terms.")


def withdraw(use: Resources, world: World) -> None:
    """The approval alone is the act: what is only proposed takes nothing away."""
    proposal = Proposal(StageState.WITHDRAWN, rationale="Unsafe.", would_change="Nothing.", public_reason="Unsafe.")
    deciding.approve(use, world.admin2, proposing.propose(world.use, world.admin, STAGE, proposal).id)


ACTS: dict[str, tuple[Callable[[Resources, World], Any], type[Refused]]] = {
    "revoke the token": (lambda use, w: tokens.revoke(use, w.admin, w.caller("cleared").token_public_id or ""),
                         InvalidCredentials),
    "suspend": (lambda use, w: holds.place(use, w.admin, "organization:aurora-institute", "For a test."),
                OrganizationSuspended),
    "disable": (lambda use, w: people.disable(use, w.admin, w.example.people["cleared"]["email"]), InvalidCredentials),
    "withdraw": (withdraw, StageWithdrawn),
    "hold the stage": (lambda use, w: holds.place(use, w.admin, STAGE, "A finding."), StageHeld),
    "hold the model": (lambda use, w: holds.place(use, w.admin, "gpt-2", "A finding."), StageHeld),
    "hold everything": (lambda use, w: holds.place(use, w.admin, "everything", "A finding."), StageHeld),
    "revoke the clearance": (lambda use, w: clearances.revoke(use, w.admin, CLEARANCE), NotCleared),
    "end the signature": (lambda use, w: signatures.end(use, w.admin, SIGNATURE), AgreementUnsigned),
    "publish another wording": (lambda use, w: revise(use, w.admin), AgreementOutdated),
    "lower the quota": (
        lambda use, w: carrying_out.set_quota(
            use, w.admin, "aurora-institute", bytes_per_day=1, requests_per_minute=None
        ),
        QuotaExceeded,
    ),
}  # fmt: skip
ACTING = pytest.mark.parametrize(("act", "code"), ACTS.values(), ids=ACTS.keys())


def keep_one_more_owner(world: World) -> None:
    """The last owner cannot be disabled."""
    world.add_person("aurora-institute", "second@aurora-institute.example", Role.OWNER)


@ACTING
def test_what_is_taken_away_is_missed_by_the_next_request(
    world: World, act: Callable[[Resources, World], Any], code: type[Refused]
) -> None:
    """Each act of the lab stops the next download with its own code, and nothing is issued or logged."""
    keep_one_more_owner(world)
    caller = world.caller("cleared")
    act(world.use, world)
    with pytest.raises(code):
        issuing.issue(world.use, caller, world.order())
    assert world.signed_urls == []
    assert world.entries("download") == []


@ACTING
def test_an_act_waits_for_the_download_that_was_decided_first(
    world: World, monkeypatch: pytest.MonkeyPatch, act: Callable[[Resources, World], Any], code: type[Refused]
) -> None:
    """What a download rests on cannot change until its entry is committed: the log tells the two in order."""
    keep_one_more_owner(world)
    carrying_out.set_quota(world.use, world.admin, "aurora-institute", bytes_per_day=10**12, requests_per_minute=None)
    caller, known = world.caller("cleared"), len(world.entries())
    decided, acted = threading.Event(), threading.Event()
    refusal = rule.refusal

    def slow_rule(*given_facts: Any, **more: Any) -> Refused | None:
        decided.set()
        acted.wait(0.2)  # the facts are read and locked; meanwhile the act is tried
        return refusal(*given_facts, **more)

    def act_meanwhile(other: Resources) -> None:
        assert decided.wait(10)
        act(other, world)
        acted.set()

    with closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(1) as pool:
        monkeypatch.setattr(rule, "refusal", slow_rule)
        done = pool.submit(act_meanwhile, other)
        issuing.issue(world.use, caller, world.order())
        done.result()
    monkeypatch.undo()
    kinds = [entry.kind for entry in world.entries()[known:]]
    assert next(kind for kind in kinds if kind not in {"decision.propose", "decision.approve"}) == "download"
    with pytest.raises(code):
        issuing.issue(world.use, caller, world.order())


@ACTING
def test_a_download_waits_for_the_act_that_came_first_and_is_refused(
    world: World, act: Callable[[Resources, World], Any], code: type[Refused]
) -> None:
    """A download that is decided while an act commits sees the act, whole, and gives its code: also by kept facts."""
    keep_one_more_owner(world)
    caller = world.caller("cleared")
    issuing.issue(world.use, caller, world.order())  # what it rests on is kept now
    committing, refused = threading.Event(), threading.Event()

    def stop(_connection: Any) -> None:
        committing.set()
        refused.wait(0.2)

    with closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(1) as pool:
        event.listen(other.database._writer, "commit", stop)
        done = pool.submit(act, other, world)
        assert committing.wait(10)
        with pytest.raises(code):
            issuing.issue(world.use, caller, world.order())
        refused.set()
        done.result()
    assert len(world.entries("download")) == 1


@cases("name", ["expired", "unsigned", "uncleared"])
def test_the_demo_s_refused_callers_are_refused(world: World, name: str) -> None:
    """Who is expired, unsigned or uncleared gets its own code from real rows."""
    codes = {"expired": InvalidCredentials, "unsigned": AgreementUnsigned, "uncleared": NotCleared}
    with pytest.raises(codes[name]):
        decide(world, world.caller(name))


def test_a_clearance_holds_from_its_first_moment_until_before_its_last(world: World) -> None:
    """starts_at belongs to a clearance, expires_at does not."""
    at = world.clock()
    start, end = at + timedelta(days=1), at + timedelta(days=2)
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "research", starts_at=start, expires_at=end, purpose="Study."
    )
    clearances.approve(world.use, world.admin2, made.id)
    signatures.record(
        world.use, world.admin, "cedar-systems", AGREEMENT, signer_name="Sol", signer_title="Head",
        signed_on=date(2026, 1, 1), document_sha256="0" * 64, before_publication=True,
    )  # fmt: skip
    caller, tick = world.person("uncleared"), timedelta(microseconds=1)
    expected = [(start - tick, NotCleared), (start, None), (end - tick, None), (end, ClearanceExpired)]
    for moment, code in expected:
        world.use.clock = lambda moment=moment: moment  # type: ignore[misc]
        if code is None:
            assert decide(world, caller).clearance_id == made.id
        else:
            with pytest.raises(code):
                decide(world, caller)


def clear(world: World, organization: str, model: str, tier: str) -> int:
    made = clearances.propose(
        world.use, world.admin, organization, model, tier, expires_at=world.clock() + HOUR, purpose="Study."
    )
    if made.approved_at is None:
        clearances.approve(world.use, world.admin2, made.id)
    return made.id


@cases(("tier", "opens"), [("registered", False), ("research", False), ("partner", True)])
def test_a_clearance_opens_its_own_tier_and_every_lower_one(world: World, tier: str, opens: bool) -> None:
    """mini-gpt/large takes the highest tier, mini-gpt/base the middle one."""
    clearances.revoke(world.use, world.admin, 2)
    clear(world, "aurora-institute", "mini-gpt", tier)
    caller = world.caller("cleared")
    if opens:
        assert decide(world, caller, "mini-gpt/large").tier == tier
    else:
        with pytest.raises(NotCleared):
            decide(world, caller, "mini-gpt/large")
    if tier != "registered":
        assert decide(world, caller, "mini-gpt/base").tier == tier


def test_a_clearance_is_for_one_model(world: World) -> None:
    """A clearance on another model opens nothing here."""
    clearances.revoke(world.use, world.admin, CLEARANCE)
    with pytest.raises(NotCleared):
        decide(world, world.caller("cleared"))
    assert decide(world, world.caller("cleared"), "mini-gpt/base").clearance_id == 2


def test_of_two_clearances_the_log_names_the_one_that_lasts(world: World) -> None:
    """When one of two clearances is revoked the other still opens the stage."""
    clear(world, "aurora-institute", "gpt-2", "partner")
    assert decide(world, world.caller("cleared")).clearance_id == CLEARANCE
    clearances.revoke(world.use, world.admin, CLEARANCE)
    assert decide(world, world.caller("cleared")).tier == "partner"


def test_another_organization_s_signature_and_clearance_count_for_nobody_else(world: World) -> None:
    """The cleared partner's signature does not make the unsigned one's, nor its clearance the uncleared one's."""
    with pytest.raises(AgreementUnsigned):
        decide(world, world.caller("unsigned"))
    with pytest.raises(NotCleared):
        decide(world, world.caller("uncleared"))


def test_signing_the_new_version_opens_the_stage_again(world: World) -> None:
    """An outdated signature is mended by a new one, and the grant names the new text."""
    revise(world.use, world.admin)
    with pytest.raises(AgreementOutdated):
        decide(world, world.caller("cleared"))
    signed = signatures.record(
        world.use, world.admin, "aurora-institute", AGREEMENT, signer_name="Sol", signer_title="Head",
        signed_on=world.clock().date(), document_sha256="0" * 64,
    )  # fmt: skip
    grant = decide(world, world.caller("cleared"))
    assert (grant.signature_id, grant.agreement_sha256) == (signed.id, agreement_sha256(world))


def agreement_sha256(world: World) -> str:
    with world.use.database.reading() as session:
        return agreements.current(session, Slice(1)).items[0][2].sha256


def test_an_alias_is_the_stage_itself(world: World) -> None:
    """762M is 774M, under the name that it has now."""
    by_alias, by_name = (decide(world, world.caller("cleared"), f"gpt-2/{name}") for name in ("762M", "774M"))
    assert (by_alias.model, by_alias.stage, by_alias.files) == ("gpt-2", "774M", by_name.files)


NOTHING = ["gpt-2/9B", "gpt-9/774M", "gpt-2", "", "/", "gpt-2/", "gpt-2/774M/x", "gpt-2/../774M", "gpt-2/774M\0", "ü/ü"]


def test_what_is_unknown_or_planned_is_not_there_for_partners(world: World) -> None:
    """A planned stage answers like one that does not exist, and so does what is no name at all."""
    caller, answers = world.caller("cleared"), []
    for stage in [*NOTHING, "gpt-2/1558M"]:
        with pytest.raises(NotFound) as answer:
            decide(world, caller, stage)
        answers.append(vars(answer.value))
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("ask", [decide, read, know])
def test_without_credentials_everything_but_public_stages_answers_alike(
    sqlite_world: World, ask: Callable[[World, Caller, str], Any]
) -> None:
    """A stranger cannot tell a partners' stage from a planned or a missing one."""
    for stage in [*NOTHING, "gpt-2/1558M", "gpt-2/774M", "mini-gpt/large"]:
        with pytest.raises(AuthenticationRequired) as answer:
            ask(sqlite_world, STRANGER, stage)
        assert vars(answer.value) == vars(AuthenticationRequired())


def test_without_credentials_a_public_stage_is_open(world: World) -> None:
    """A public stage is decided for, read by and known to a stranger, on nobody's authority."""
    grant = decide(world, STRANGER, "gpt-2/124M")
    assert (grant.clearance_id, grant.tier, grant.agreement_sha256, grant.signature_id) == (None, None, None, None)
    assert read(world, STRANGER, "gpt-2/124M") == "gpt-2/124M"
    assert know(world, STRANGER, "gpt-2/124M").name == "124M"


def test_a_held_public_stage_is_closed_to_strangers_too(world: World) -> None:
    """A hold stops everybody."""
    holds.place(world.use, world.admin, "gpt-2/124M", "A finding.")
    with pytest.raises(StageHeld):
        decide(world, STRANGER, "gpt-2/124M")


def test_an_announced_planned_stage_is_known_by_name_only(world: World) -> None:
    """Name and plan show; files, checkpoints and downloads do not."""
    assert know(world, world.caller("cleared"), "gpt-2/1558M").note.startswith("In a few months")
    for ask in (decide, read):
        with pytest.raises(NotFound):
            ask(world, world.caller("cleared"), "gpt-2/1558M")
    stage_editing.edit(world.use, world.admin, "gpt-2/1558M", announced=False)
    with pytest.raises(NotFound):
        know(world, world.caller("cleared"), "gpt-2/1558M")


def test_a_partners_stage_is_known_to_partners_who_are_not_cleared(world: World) -> None:
    """Knowing that a stage is there takes no clearance; its file names do."""
    assert know(world, world.caller("uncleared")).name == "774M"
    with pytest.raises(NotCleared):
        read(world, world.caller("uncleared"))


@cases("name", ["admin", "auditor", "publisher"])
def test_staff_read_planned_and_held_stages_but_may_not_have_them(world: World, name: str) -> None:
    """The lab's own people need a clearance for the weights like everybody else."""
    holds.place(world.use, world.admin, STAGE, "A finding.")
    staff = world.person(name)
    assert read(world, staff, "gpt-2/1558M") == "gpt-2/1558M"
    assert read(world, staff, STAGE) == STAGE
    with pytest.raises(NotCleared):
        decide(world, staff, "gpt-2/1558M")
    with pytest.raises(StageHeld):
        decide(world, staff, STAGE)


def test_each_caller_sees_the_stages_that_exist_for_them(world: World) -> None:
    """Strangers see public stages, partners all but unannounced plans, staff all."""
    stages.add(world.use, world.admin, "mini-gpt/huge", tier="partner")
    public = {"gpt-2/124M", "gpt-2/355M"}
    released = public | {"gpt-2/774M", "gpt-2/1558M", "mini-gpt/base", "mini-gpt/large"}
    seen = {}
    for caller in (STRANGER, world.caller("uncleared"), world.admin):
        with world.use.database.reading() as session:
            rows = rule.visible_stages(session, world.use, caller, Slice(100)).items
            seen[caller.via, caller.role] = {f"{row.model}/{row.name}" for row in rows}
    assert list(seen.values()) == [public, released, released | {"mini-gpt/huge"}]


@cases("name", ["cleared", "unsigned", "uncleared", "admin"])
def test_what_is_shown_as_open_is_what_would_be_issued(world: World, name: str) -> None:
    """The list's `may_download` is the same decision as issuing, for every stage."""
    caller = world.caller(name)
    with world.use.database.reading() as session:
        steps = ladder.listed(session, world.use, caller, Slice(100)).items
    shown = {step.full_name: None if step.refused is None else type(step.refused) for step in steps}
    for stage, code in shown.items():
        if code is None:
            assert decide(world, caller, stage).files
        else:
            with pytest.raises(code):
                decide(world, caller, stage)


def test_a_token_that_was_taken_over_acts_for_its_new_holder(world: World) -> None:
    """A request that began under the old holder is refused; the next one is the new holder's."""
    keep_one_more_owner(world)
    before = world.caller("cleared")
    world.example.people["second"] = {"email": "second@aurora-institute.example"}
    tokens.take_over(world.use, world.person("second"), before.token_public_id or "")
    with pytest.raises(InvalidCredentials):
        decide(world, before)
    people.disable(world.use, world.admin, world.example.people["cleared"]["email"])
    assert decide(world, world.caller("cleared")).clearance_id == CLEARANCE
    assert world.caller("cleared").person == "second@aurora-institute.example"


NO_PATHS = [
    "../hparams.json", "hparams.json\0", "/hparams.json", "./hparams.json", "HPARAMS.JSON", "hparams.json/",
    "manifest.json", "", "hparams\udc80.json", "x" * 100_000,
]  # fmt: skip
NO_CHECKPOINTS = ["0" * 40, "MAIN", "", "main\n", "main ", "a" * 39, "a" * 41, "A" * 40, "\0"]


def test_a_path_or_checkpoint_that_is_not_there_is_not_there_whatever_its_form(world: World) -> None:
    """Paths are looked up among the files and nowhere else; unknown and malformed ids are alike."""
    caller = world.caller("cleared")
    for path in NO_PATHS:
        with pytest.raises(NotFound):
            decide(world, caller, paths=["hparams.json", path])
    for checkpoint in NO_CHECKPOINTS:
        with pytest.raises(NotFound):
            decide(world, caller, checkpoint=checkpoint)


def test_a_checkpoint_of_another_stage_is_not_there(world: World) -> None:
    """An id opens nothing beside its own stage, not even for a caller who may have it there."""
    other = decide(world, world.caller("cleared"), "gpt-2/124M").checkpoint.checkpoint_id
    with pytest.raises(NotFound):
        decide(world, world.caller("cleared"), STAGE, other)
