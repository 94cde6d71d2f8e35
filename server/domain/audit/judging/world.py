"""The world as the log tells it: whatever decides who may do what, derived from the entries alone.

The rules beside it move it on; the audit, exposure, and the comparison with the live tables read it.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from server.domain.permissions import POLICY, STAFF, Permission, Role
from server.domain.release.findings import TRIAGED, FindingState
from server.domain.release.stages import StageState
from server.log.archived import Archive

Record = dict[str, Any]
UNTOLD = object()  # what the log did not keep at the time: it cannot be compared


@dataclass
class Organization:
    """id: its row's, by the column of the entry that added it; networks and limits None where none were ever set.

    name: None where no entry has told it, as of the lab until it is renamed.
    """

    id: int | None
    name: str | None = None
    is_lab: bool = False
    suspended: bool = False
    networks: str = ""
    bytes_per_day: int | None = None
    requests_per_minute: int | None = None


@dataclass
class Person:
    """id: None as long as no entry has named it.

    given_by_two: whether two people gave the role, or it is that of one of the first two admins. known_by: who has been
    shown what they sign in with, since then.
    """

    organization: str
    role: str
    id: int | None = None
    disabled: bool = False
    disabled_by_lab: bool = False
    given_by_two: bool = False
    known_by: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)  # what is still as another person set it up: password, app


@dataclass
class Token:
    """sha256, networks and expires_at: None where the entry is from before the log kept them.

    trust_record and what follows: of a workload's, what its identity token was exchanged for.
    """

    organization: str
    person: str
    scopes: frozenset[str]
    expires_at: int | None
    sha256: str | None
    networks: tuple[str, ...] | None
    revoked: bool = False
    trust_record: int | None = None
    subject: str | None = None
    run: str | None = None
    identity_sha256: str | None = None
    door: str | None = None

    def is_revoked_with(self, time_ms: int) -> bool:
        """Whether what it rests on ends it as well, at that time: a workload's that had ended is left as it is."""
        return self.trust_record is None or (self.expires_at or 0) > time_ms

    @property
    def workload(self) -> Record | None:
        """As entries name a workload."""
        if self.trust_record is None:
            return None
        known: Record = {"trust_record": self.trust_record, "subject": self.subject}
        return known if self.run is None else known | {"run": self.run}


@dataclass
class TrustRecord:
    """Which workloads act for an organization, in the name of the owner who made it."""

    organization: str
    person: str
    name: str
    issuer: str
    audience: str
    claims: dict[str, str]
    scopes: frozenset[str]
    networks: tuple[str, ...]
    expires_at: int
    revoked: bool = False


@dataclass
class Invitation:
    organization: str
    email: str
    role: str
    invited_by: str | None
    is_open: bool = True


@dataclass
class Identity:
    """An account at an identity provider that a person signs in with."""

    person: str
    issuer: str
    subject: str


@dataclass
class RoleGrant:
    """A giving of a role in the lab. `state`: open, standing, closed. The first two admins' are proposed by nobody."""

    person: str
    role: str
    proposed_by: str | None
    approved_by: str | None = None
    state: str = "open"

    @property
    def is_open(self) -> bool:
        return self.state == "open"


@dataclass
class Proposal:
    """An act that takes two people. `state`: proposed, approved, done, closed. fault: of its approval."""

    what: str
    on: str
    says: Record
    proposed_by: str | None
    approved_by: str | None = None
    approved_at: int = 0
    fault: str | None = None
    state: str = "proposed"


@dataclass
class Clearance:
    organization: str
    model: str
    tier: str
    starts_at: int
    expires_at: int
    proposed_by: str | None
    approved_by: str | None = None
    approved: bool = False
    revoked: bool = False


@dataclass
class Stage:
    """ordinal, planned and note: UNTOLD where no entry has told it, as of stages from before the log kept them."""

    tier: str
    agreement: str | None
    state: str = "planned"
    was_public: bool = False  # whether it is or ever was
    announced: bool = False
    ordinal: int | object = UNTOLD
    planned: str | object = UNTOLD
    note: str | object | None = UNTOLD
    reports_at_least: int = 0
    main: str | None = None
    aliases: set[str] = field(default_factory=set)


@dataclass
class Decision:
    """What moves a stage, or lifts a hold; the long texts by their hashes. `state`: as the tables call it."""

    decides: str
    on: str
    before: str | None
    to: str | None
    opens_at: int | None
    proposed_by: str | None
    public_reason: str
    rationale_sha256: str
    would_change_sha256: str
    evidence_sha256: str
    findings: frozenset[int]
    state: str = "proposed"
    approved_by: str | None = None
    closed_by: str | None = None
    evidence_when_done_sha256: str | None = None

    @property
    def terms(self) -> tuple[str, str, str | None, str | None, int | None]:
        return self.decides, self.on, self.before, self.to, self.opens_at


@dataclass
class Signature:
    """One that the lab has to answer, or that it answered. `state`: waiting, in force, declined or ended."""

    organization: str
    agreement_sha256: str
    state: str


@dataclass
class Finding:
    """A report; its words only by their hash. embargo_until: a day, `2027-01-31`."""

    organization: str
    stage: str
    severity: str
    text_sha256: str
    may_publish: bool
    embargo_until: str | None
    state: str = "open"
    answer_sha256: str | None = None
    released_to: set[str] = field(default_factory=set)
    attachments: dict[int, str] = field(default_factory=dict)  # sha256, by their ids
    erased: bool = False


@dataclass
class Decoy:
    stage: str
    object_key: str
    size_bytes: int
    removed: bool = False


@dataclass
class World:
    """All that is known up to an entry."""

    second_person_tier: str
    lab: str | None = None
    organizations: dict[str, Organization] = field(default_factory=dict)
    slugs: dict[int | None, str] = field(default_factory=dict)  # by the ids of their rows
    people: dict[str, Person] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    trust_records: dict[int, TrustRecord] = field(default_factory=dict)
    exchanged: set[str] = field(default_factory=set)  # identity tokens that were exchanged, by their hashes
    invitations: dict[int, Invitation] = field(default_factory=dict)
    linked_identities: dict[int, Identity] = field(default_factory=dict)
    role_grants: dict[int | str, RoleGrant] = field(default_factory=dict)  # of the first two admins: by their names
    proposals: dict[int, Proposal] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    report_to_renew: set[str] = field(default_factory=set)  # tiers
    models: set[str] = field(default_factory=set)
    stages: dict[str, Stage] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)  # id → stage
    current: dict[str, str] = field(default_factory=dict)  # agreement → sha256 of its current version
    # Agreement → sha256 of the version before that one, and the end of the time in which it counts as well.
    lasting: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    clearances: dict[int, Clearance] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    signatures: dict[int, Signature] = field(default_factory=dict)
    findings: dict[int, Finding] = field(default_factory=dict)
    decoys: dict[int, Decoy] = field(default_factory=dict)
    archives: dict[str, Archive] = field(default_factory=dict)  # by their months
    erasures: Counter[str] = field(default_factory=Counter)  # of which month, until another file is without them
    origins: list[str] = field(default_factory=list)  # of the logs so far; the last one is replayed
    place: int | None = None  # in it, of the entry that is replayed
    held: dict[str, str | None] = field(default_factory=dict)  # on what, and who placed the hold
    forgotten: set[str] = field(default_factory=set)  # families of kinds ("person") of which an entry was erased
    is_recent: bool = False  # whether an entry has had what only recent ones have
    two_people: bool = False  # whether what takes two people takes two who could not be one
    takes_two: set[str] = field(default_factory=set)  # kinds of proposals that a later version demands as well
    lists_people: bool = False  # whether rows have told who acted: the oldest did not
    last_ms: int = 0
    notes: list[str] = field(default_factory=list)  # what is no fault, and is told for good: by whom, and why

    def needs_two(self, tier: str) -> bool:
        threshold = self.ranks.get(self.second_person_tier)
        return threshold is None or self.ranks.get(tier, 0) >= threshold

    def second_person_fault(self, email: str | None, proposer: str | None) -> str | None:
        """Why an admin cannot have approved what `proposer` proposed; None where they can.

        Somebody who is no admin is judged as whoever acts is.
        """
        if email == proposer:
            return "it was proposed and approved by the same person"
        person = self.people.get(email or "")
        if not self.two_people or person is None or person.role != Role.ADMIN:
            return None
        if not person.given_by_two:
            return f"{email}, who approved it, had a role that one person alone had given"
        if person.handed and not self.forgotten & {"person", "password"}:  # erased entries may have told of a change
            return f"{email}, who approved it, still signed in with what another person had set up"
        known = self.people.get(proposer or "")
        if known is not None and email in known.known_by:
            return f"{email}, who approved it, could act in the name of {proposer}, who proposed it"
        if proposer in person.known_by:
            return f"{proposer}, who proposed it, could act in the name of {email}, who approved it"
        return None

    def able(self, proposer: str | None) -> list[str]:
        """The admins who could approve what `proposer` proposed."""
        admins = [email for email, one in self.people.items() if one.role == Role.ADMIN and not one.disabled]
        return [email for email in admins if self.second_person_fault(email, proposer) is None]

    def signed(self, signature: int | None, organization: str | None, sha256: str | None) -> bool:
        """Whether this signature of an organization under these words is in force."""
        known = self.signatures.get(-1 if signature is None else signature)
        return known is not None and (known.organization, known.agreement_sha256, known.state) == (
            organization, sha256, "in force",
        )  # fmt: skip

    def lasts(self, agreement: str, time_ms: int) -> str | None:
        """The version before the current one, if signatures of it still count."""
        sha256, until = self.lasting.get(agreement, (None, 0))
        return sha256 if time_ms < until else None

    def consider(self, findings: Iterable[int]) -> None:
        """Move on what an executed decision considered, as `findings.mark_considered` did."""
        for number in findings:
            if (finding := self.findings.get(number)) is not None and finding.state in TRIAGED:
                finding.state = FindingState.CONSIDERED

    def opens(self, stage: str) -> bool:
        """Whether a stage is open, or a decision that opens it is approved and waits for its moment."""
        if self.stages[stage].state != StageState.PLANNED:
            return True
        waiting = (one for one in self.decisions.values() if one.on == stage and one.state == "approved")
        return any(one.to in {StageState.PARTNERS, StageState.PUBLIC} for one in waiting)

    def set_main(self, stage: str, checkpoint: str) -> None:
        """Move on which checkpoint is a stage's `main`; it is published then."""
        self.checkpoints[checkpoint] = stage
        if (known := self.stages.get(stage)) is not None:
            known.main = checkpoint

    def may(self, email: str | None, permission: Permission) -> bool:
        """Whether somebody is there, active, and of a role that includes it."""
        person = self.people.get(email or "")
        return person is not None and not person.disabled and person.role in POLICY[permission].roles

    def manages(self, email: str | None, organization: str | None) -> bool:
        """Whether somebody may add and change the people of an organization: an admin anywhere, an owner at home."""
        person = self.people.get(email or "")
        if person is None:
            return False
        return person.role == Role.ADMIN or (person.role == Role.OWNER and person.organization == organization)

    def fits(self, organization: str, role: str) -> bool:
        """Whether an organization has such a role."""
        return (role in STAFF or role == Role.PENDING) == (organization == self.lab)

    def end_grants(self, email: str) -> None:
        """What a person's role rested on is replaced."""
        for grant in self.role_grants.values():
            if grant.person == email and grant.state == "standing":
                grant.state = "closed"


Rule = Callable[[World, Record], Iterable[str]]


@dataclass(frozen=True, slots=True)
class JudgedByNothing:
    """For a kind that may say what it likes, but for who may do it; `because` completes "judged by nothing, …"."""

    because: str
