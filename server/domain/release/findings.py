"""Findings: what a partner reports about a stage, how far the lab has got with it, and what decisions ask of them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import ColumnElement, Date, ForeignKey, Index, String, Text, literal_column, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release import agreement_texts
from server.domain.release.finding_words import FindingKind as FindingKind
from server.domain.release.finding_words import FindingState as FindingState
from server.domain.release.finding_words import Severity as Severity
from server.domain.release.stages import Model, Stage
from server.storage.database import Base, Key, Moment

TITLE_CHARACTERS_AT_MOST = 200
TEXT_CHARACTERS_AT_MOST = 50_000  # a long paper's text; what is larger belongs into an attachment
TRIAGED = frozenset({FindingState.CONFIRMED, FindingState.NOT_REPRODUCED})
COUNTED = frozenset({FindingState.OPEN, FindingState.CONFIRMED, FindingState.CONSIDERED})  # as reports on a stage
TRANSITIONS: dict[FindingState, frozenset[FindingState]] = {  # there is no way back: a new finding is reported instead
    FindingState.OPEN: TRIAGED,
    FindingState.CONFIRMED: frozenset({FindingState.CONSIDERED, FindingState.CLOSED}),
    FindingState.NOT_REPRODUCED: frozenset({FindingState.CONSIDERED, FindingState.CLOSED}),
    FindingState.CONSIDERED: frozenset(),
    FindingState.CLOSED: frozenset(),
}


class Finding(Base):
    """One report about one stage. The log keeps a hash of its words: the words themselves can be erased."""

    __tablename__ = "findings"
    __table_args__ = (
        Index("ix_findings_organization_id_id", "organization_id", "id"),
        Index("ix_findings_stage_id_id", "stage_id", "id"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))
    checkpoint_id: Mapped[str | None] = mapped_column(String(40))  # 40 hex, as the checkpoint calls itself
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    reported_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    reported_at: Mapped[datetime] = mapped_column(Moment)
    kind: Mapped[FindingKind] = mapped_column(String(16))
    severity: Mapped[Severity] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(TITLE_CHARACTERS_AT_MOST))
    text: Mapped[str] = mapped_column(Text)  # Markdown, as it was written
    text_sha256: Mapped[str] = mapped_column(String(64))  # of title and text, as the log has it
    embargo_until: Mapped[date | None] = mapped_column(Date)  # the first day on which others may be told
    may_publish: Mapped[bool]  # whether the lab may release it to other partners at all
    may_name: Mapped[bool]  # and then say whose it is
    state: Mapped[FindingState] = mapped_column(String(16))
    triaged_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    triaged_at: Mapped[datetime | None] = mapped_column(Moment)
    answer: Mapped[str | None] = mapped_column(Text)  # the lab's, in Markdown; the last one stands
    answered_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    answered_at: Mapped[datetime | None] = mapped_column(Moment)
    model: Mapped[Model] = relationship()
    stage: Mapped[Stage] = relationship()
    organization: Mapped[Organization] = relationship()
    reporter: Mapped[Person] = relationship(foreign_keys=[reported_by])
    triager: Mapped[Person | None] = relationship(foreign_keys=[triaged_by])
    answerer: Mapped[Person | None] = relationship(foreign_keys=[answered_by])

    def is_embargoed(self, at: datetime) -> bool:
        """Whether nobody but its reporter's organization and the lab may know of it yet."""
        return self.embargo_until is not None and at.date() < self.embargo_until

    @property
    def is_settled(self) -> bool:
        """Whether the lab is done with it, so that it stays as it is."""
        return not TRANSITIONS[FindingState(self.state)]


class FindingReader(Base):
    """An organization that sees a finding besides the lab: its reporter's, and each that it was released to."""

    __tablename__ = "finding_readers"
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), primary_key=True, index=True)
    since: Mapped[datetime] = mapped_column(Moment)
    organization: Mapped[Organization] = relationship()


# In the words of their index, or it would not be used.
IS_CRITICAL = (Finding.severity == literal_column("'critical'")) & Finding.state.in_(
    [literal_column("'open'"), literal_column("'confirmed'")]
)
Index("ix_findings_critical", Finding.model_id, sqlite_where=IS_CRITICAL, postgresql_where=IS_CRITICAL)


IS_OPEN = Finding.state == literal_column("'open'")
Index("ix_findings_open", Finding.severity, Finding.id, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

_WITH_NAMES = select(Finding).options(
    joinedload(Finding.stage).joinedload(Stage.model), joinedload(Finding.organization), joinedload(Finding.reporter),
    joinedload(Finding.triager), joinedload(Finding.answerer),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """Which findings; None: whatever it is."""

    stage_id: int | None = None
    kind: FindingKind | None = None
    severity: Severity | None = None
    state: FindingState | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        columns = {Finding.stage_id: self.stage_id, Finding.kind: self.kind, Finding.severity: self.severity,
                   Finding.state: self.state}  # fmt: skip
        return [column == value for column, value in columns.items() if value is not None]


def visible(session: Session, caller: Caller, part: Slice, which: FindingFilter = FindingFilter()) -> Page[Finding]:
    """What one's own organization reported and what was released to it, newest first; for staff all."""
    caller.require(Permission.FINDING_READ)
    query = _WITH_NAMES.where(*which.conditions())
    if caller.is_staff:
        return page(session, query, Finding.id, part, newest_first=True)
    query = query.join(FindingReader).where(FindingReader.organization_id == caller.organization_id)
    return page(session, query, FindingReader.finding_id, part, newest_first=True)


def waiting(session: Session, caller: Caller, at_most: int) -> Sequence[Finding]:
    """What the lab has not triaged: the most severe first, and of these the oldest. For the lab alone."""
    caller.require(Permission.FINDING_READ)
    found: list[Finding] = []
    for severity in reversed(Severity) if caller.is_staff else ():
        query = _WITH_NAMES.where(IS_OPEN, Finding.severity == severity).order_by(Finding.id)
        found += session.scalars(query.limit(at_most - len(found)))
    return found


def get(session: Session, caller: Caller, finding_id: int) -> Finding:
    """Raises NotFound, also for what was not released to the caller's organization."""
    caller.require(Permission.FINDING_READ)
    finding = session.scalar(_WITH_NAMES.where(Finding.id == finding_id))
    if finding is None or not (caller.is_staff or _reads(session, caller, finding_id)):
        raise NotFound(f"There is no finding {finding_id}.")
    return finding


def _reads(session: Session, caller: Caller, finding_id: int) -> bool:
    return session.get(FindingReader, (caller.organization_id, finding_id)) is not None


def is_own(caller: Caller, finding: Finding) -> bool:
    """Whether the caller may see all of it: who reported it, how the lab triaged it, and what it answered."""
    return caller.is_staff or finding.organization_id == caller.organization_id


def whose(caller: Caller, finding: Finding) -> Organization | None:
    """The organization that reported it; None where the caller is not to know."""
    return finding.organization if finding.may_name or is_own(caller, finding) else None


def require_text(text: str, wanted: str) -> str:
    """Return Markdown that every page can show, whole and soon. Raises InvalidRequest."""
    text = long_texts.require(text, wanted, TEXT_CHARACTERS_AT_MOST)
    if not agreement_texts.is_shown_quickly(text) or not agreement_texts.is_shown_whole(text):
        raise InvalidRequest(
            f"The text has more than {agreement_texts.LINES_AT_MOST} lines or {agreement_texts.MARKS_AT_MOST} Markdown "
            "characters (such as * and [), or nests them too deeply. Attach it as a file instead."
        )
    return text


def sha256_of(*words: str) -> str:
    """What the log keeps of what people wrote here: it can be erased, and until then nobody can change it unseen."""
    return hashlib.sha256("\n\n".join(words).encode()).hexdigest()


def open_critical(session: Session, model_id: int, considered: Collection[int] = ()) -> Sequence[Finding]:
    """The critical findings of a model that forbid moving its stages: those that are open, and confirmed ones that no
    decision has considered. considered: ids that the decision in question names; of confirmed ones they do not count.

    Whoever reports or triages to `critical` locks the model's row first: lock it as well, and the answer stays true.
    """
    found = session.scalars(select(Finding).where(Finding.model_id == model_id, IS_CRITICAL).order_by(Finding.id))
    return [one for one in found if one.state == FindingState.OPEN or one.id not in considered]


def reports(session: Session, stage_id: int) -> Sequence[Finding]:
    """What partners reported on a stage, "nothing found" included; not the lab's own, nor what came to nothing.

    Counted are open, confirmed and considered ones: neither `not_reproduced` nor `closed`.
    """
    query = select(Finding).join(Finding.organization).where(Finding.stage_id == stage_id, Finding.state.in_(COUNTED))
    return session.scalars(query.where(~Organization.is_lab).order_by(Finding.id)).all()


def mark_considered(session: Session, ids: Collection[int], at: datetime) -> Sequence[Finding]:
    """Move what a decision considered to `considered`, and return those that moved: the ones that were triaged.

    For the execution of a decision, in its transaction. Its own entry tells of it: its `findings` lists all the ids,
    and the audit calls `World.consider` with the same. What is still open, or was closed, stays as it is.
    """
    query = select(Finding).where(Finding.id.in_(ids), Finding.state.in_(TRIAGED)).order_by(Finding.id)
    moved = session.scalars(query.with_for_update()).all()
    for finding in moved:
        finding.state, finding.triaged_at = FindingState.CONSIDERED, at
    return moved


def lock_model(session: Session, model_id: int) -> None:
    """Wait for whoever decides about the model, and have them wait: what is critical must not arrive in between."""
    session.scalars(select(Model.id).where(Model.id == model_id).with_for_update(key_share=True)).all()


def record(session: Session, caller: Caller, kind: EntryKind, finding: Finding, at: datetime, **more: object) -> None:
    """Append an entry about a finding that its reporter's organization sees."""
    told = {
        "actor": caller.as_record(), "finding": finding.id, "organization": finding.organization.slug,
        "stage": finding.stage.full_name, **more,
    }  # fmt: skip
    acts.append(session, kind, at, told, organization_id=finding.organization_id)
