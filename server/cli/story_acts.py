"""What the story's chapters have people do: real acts on the real server, in the names of a dozen people."""

import hashlib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from server.cli.story_clock import StoryClock
from server.cli.terminal import console
from server.cli.worked_example import AGREEMENT, AGREEMENT_FILE, LAB, SCOPES, Example
from server.domain.access import clearances, finding_reports, signatures, signed_copies
from server.domain.access.finding_reports import Report
from server.domain.accounts import granting
from server.domain.callers import Caller
from server.domain.decisions import deciding, lifting, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.errors import Refused
from server.domain.identity import organizations, people, tokens
from server.domain.operation import bootstrap
from server.domain.operation.bootstrap import FirstAdmin
from server.domain.permissions import Role
from server.domain.publish import publishing
from server.domain.release import agreements, finding_triage, holds, stage_editing, stages, tiers
from server.domain.release.decisions import DecisionState
from server.domain.release.findings import Finding, FindingKind, FindingState, Severity
from server.domain.release.plans import Window
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.example import gpt2

MODEL = "gpt-2"
TIER = "research"
ADMINS = {"admin": ("ada", "Ada Quist"), "admin2": ("ben", "Ben Tanaka")}
PARTNERS = {
    "cleared": ("aurora-institute", "Aurora Institute", "Iris Okafor"),
    "birch": ("birch-university", "Birch University", "Bo Lindqvist"),
    "cedar": ("cedar-systems", "Cedar Systems", "Carla Reyes"),
    "dogwood": ("dogwood-college", "Dogwood College", "Dov Marin"),
}


WORDS = {StageState.PARTNERS: "open to partners", StageState.PUBLIC: "public"}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is decided: for the lab, what would change it, and for everybody."""

    rationale: str
    would_change: str
    public: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a partner found."""

    kind: FindingKind
    severity: Severity
    title: str
    text: str


@dataclass
class Story:
    """What has happened so far. work: lets the worker do what is due. people: with the secrets that only demos keep."""

    use: Resources
    clock: StoryClock
    sources: Path
    work: Callable[[], None]
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    callers: dict[str, Caller] = field(default_factory=dict)
    reports: list[tuple[str, str, Finding]] = field(default_factory=list)  # partner, stage, what was reported

    def begin(self) -> None:
        """The lab with its first two admins, a publisher and an auditor."""
        first = [FirstAdmin(f"{name}@{LAB}.example", title, people.new_password()) for name, title in ADMINS.values()]
        for key, made in zip(ADMINS, bootstrap.begin(self.use, LAB, "Example Lab", first), strict=True):
            self._add_person(key, made.email, made.password, made.totp_secret)
        for key, title, role in (("publisher", "Pia Marsh", Role.PUBLISHER), ("auditor", "Aron Vale", Role.AUDITOR)):
            self._invite(key, LAB, f"{key}@{LAB}.example", title, role)
        self.say("Two admins begin the log. From here on each role in the lab is given by both of them.")

    def add_ladder(self) -> None:
        """Tier, agreement and the four stages, all planned and announced."""
        admin = self.callers["admin"]
        tiers.add(self.use, admin, TIER, 10)
        agreements.publish(self.use, admin, AGREEMENT, AGREEMENT_FILE.read_text(encoding="utf-8"))
        stages.add_model(self.use, admin, MODEL, "GPT-2")
        for known in gpt2.STAGES:
            stages.add(
                self.use, admin, _full(known.name), tier=TIER, agreement=AGREEMENT, parameters=known.parameters,
                announced=True,
            )  # fmt: skip
            for alias in known.aliases:
                stages.add_alias(self.use, admin, _full(known.name), alias)

    def publish(self) -> None:
        """The files of each stage, which nobody but the lab can see yet."""
        for known in gpt2.STAGES:
            gpt2.write(self.sources / _full(known.name), known.name)
            publishing.publish(
                self.use, self.callers["publisher"], self.sources / _full(known.name), _full(known.name),
                note="The original seven files, at reduced size.",
            )  # fmt: skip
        self.say(
            "The publisher checks, signs and uploads the files of all four stages. Nobody outside the lab sees them."
        )

    def clear_partners(self, until: datetime) -> None:
        """Four organizations: added, cleared by two admins, their agreement signed and countersigned."""
        for key, (slug, name, owner) in PARTNERS.items():
            organizations.add(self.use, self.callers["admin"], slug, name)
            self._invite(key, slug, f"owner@{slug}.example", owner, Role.OWNER)
            proposed = clearances.propose(
                self.use, self.callers["admin"], slug, MODEL, TIER, expires_at=until,
                purpose="Study of misuse, bias and detection before the next release.",
            )  # fmt: skip
            clearances.approve(self.use, self.callers["admin2"], proposed.id)
            self._sign(key, name, owner)
        names = ", ".join(name for _, name, _ in PARTNERS.values())
        self.say(f"Cleared by two admins each, signed and countersigned: {names}.")

    def decide(self, stage: str, to: StageState, reason: Reason, *, opens_at: datetime | None = None) -> None:
        """One admin proposes, having considered every finding about the stage, and the other approves."""
        considered = [found.id for _, about, found in self.reports if about == stage]
        proposed = proposing.propose(
            self.use, self.callers["admin"], _full(stage),
            Proposal(to, reason.rationale, reason.would_change, reason.public, considered, opens_at),
        )  # fmt: skip
        decided = deciding.approve(self.use, self.callers["admin2"], proposed.id)
        if decided.state not in {DecisionState.DONE, DecisionState.APPROVED}:
            raise RuntimeError(f"decision {decided.id} is {decided.state}: {decided.blocked_because}")
        when = "immediately" if opens_at is None else f"on {opens_at:%-d %B at %H:%M} UTC"
        rests = f" It considers {len(considered)} findings." if considered else ""
        self.say(f"Ada proposes and Ben approves decision {proposed.id}: {stage} becomes {WORDS[to]}, {when}.{rests}")

    def download(self, who: str | None, stage: str) -> None:
        """Download every file of a stage and compare it with what was published. who: None for anybody."""
        caller = Caller(via="anonymous", address="192.0.2.44") if who is None else self.callers[who]
        issued = issuing.issue(self.use, caller, Order(_full(stage)))
        for file, url in zip(issued.files, issued.urls, strict=True):
            with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310  # our own store's
                if hashlib.sha256(response.read()).hexdigest() != file.sha256:
                    raise RuntimeError(f"{file.path} of {stage} is not what was published")
        self.work()
        name = "Someone without an account" if who is None else PARTNERS[who][1]
        self.say(f"{name} downloads {stage}: {len(issued.files)} files, each with its published hash.")

    def expect_refusal(self, who: str, stage: str) -> None:
        """Try to download what cannot be had, and read why."""
        try:
            issuing.issue(self.use, self.callers[who], Order(_full(stage)))
        except Refused as refused:
            self.say(f"{PARTNERS[who][1]} asks for {stage} and reads: {refused.detail}")
        else:
            raise RuntimeError(f"{who} got URLs for {stage}")

    def report(self, who: str, stage: str, seen: Seen) -> None:
        """Report a finding, which the lab may share with other partners."""
        made = finding_reports.report(
            self.use, self.callers[who],
            Report(_full(stage), seen.kind, seen.severity, seen.title, seen.text, may_publish=True, may_name=True),
        )  # fmt: skip
        self.reports.append((who, stage, made))
        self.say(f"{PARTNERS[who][1]} reports: {seen.title} ({seen.kind.replace('_', ' ')}, {seen.severity}).")

    def triage(
        self, who: str, stage: str, to: FindingState, severity: Severity | None = None, answer: str | None = None
    ) -> None:
        """Move the open findings of a partner about a stage on."""
        for partner, about, made in self.reports:
            if (partner, about) == (who, stage):
                finding_triage.triage(self.use, self.callers["admin"], made.id, to, severity, answer)

    def hold(self, stage: str, reason: str) -> None:
        holds.place(self.use, self.callers["admin"], _full(stage), reason)
        self.say(f"Ada alone puts {stage} on hold, immediately.")

    def lift(self, stage: str, reason: str) -> None:
        """Lift a hold by two."""
        lifting.propose(self.use, self.callers["admin"], _full(stage), reason)
        lifted = lifting.approve(self.use, self.callers["admin2"], _full(stage))
        self.say(f"Ada proposes and Ben approves decision {lifted.id}: the hold on {stage} is lifted.")

    def plan(self, stage: str, first: str, last: str, note: str) -> None:
        """Say publicly in which months a stage is to be released."""
        stage_editing.edit(self.use, self.callers["admin"], _full(stage), planned=Window(first, last), note=note)

    def example(self, use: Resources) -> Example:
        """What the demo describes when the story is over, with tokens that work today."""
        made = {
            key: tokens.create(use, self.callers[key], f"{key}, demo", scopes, timedelta(days=90)).text
            for key, scopes in SCOPES.items()
            if key in self.callers
        }
        names = {known.name: _full(known.name) for known in gpt2.STAGES}
        newest = names[gpt2.STAGES[-1].name]
        return Example(
            self.people, made, {"public": newest, "partners": newest},
            {name: str(self.sources / name) for name in names.values()},
        )  # fmt: skip

    def say(self, sentence: str) -> None:
        """Tell the audience."""
        console.print(f"  {sentence}", markup=False)

    def _invite(self, key: str, slug: str, email: str, name: str, role: Role) -> None:
        password = people.new_password()
        _, totp_secret = granting.add(self.use, self.callers["admin"], slug, email, name, role, password)
        if slug == LAB:
            granting.approve(self.use, self.callers["admin2"], email)
        self._add_person(key, email, password, totp_secret)

    def _add_person(self, key: str, email: str, password: str, totp_secret: str) -> None:
        self.people[key] = {"email": email, "password": password, "totp_secret": totp_secret}
        self.callers[key] = people.sign_in_for_command(self.use, email, password)

    def _sign(self, key: str, name: str, owner: str) -> None:
        with self.use.database.reading() as session:
            version = agreements.version_of(session, agreements.get(session, AGREEMENT), None)
        signed = signatures.sign(
            self.use, self.callers[key], AGREEMENT, version.sha256, owner, "Head of Research",
            signed_copies.statement_for(name),
        )  # fmt: skip
        signatures.countersign(self.use, self.callers["admin"], signed.id)


def _full(stage: str) -> str:
    return f"{MODEL}/{stage}"
