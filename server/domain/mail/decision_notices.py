"""Notices of decisions: that one waits, was approved, blocked or closed, and that a stage was opened to somebody."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from server import dates
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail import mails
from server.domain.mail.notices import of_lab, quoted
from server.domain.permissions import Role
from server.domain.resources import Resources

SIGNATURE_REMINDER = "signature_reminder"


def waits(
    session: Session, use: Resources, decision_id: int, title: str, proposer: str, public_reason: str, at: datetime
) -> None:
    """Tell the lab's other admins that a decision needs one of them. title: `gpt-2/774M: partners → public`."""
    text = (
        f"Review it: {_page(use, decision_id)}\n\n{proposer} proposed decision {decision_id}, {title}. "
        f"It takes effect once another admin approves it.\n\nThe public reason:\n\n{quoted(public_reason)}"
    )
    for person in of_lab(session, {Role.ADMIN}):
        if person.email != proposer:
            mails.queue(session, use, "decision_waits", person.email, f"Approval needed: {title}", text, at)


def scheduled(session: Session, use: Resources, decision_id: int, title: str, opens_at: datetime, at: datetime) -> None:
    """Tell the lab's admins that a decision is approved and will be carried out by itself."""
    text = (
        f"To stop it before then, cancel it: {_page(use, decision_id)}\n\n"
        f"Decision {decision_id}, {title}, was approved. It will be carried out on {dates.minute(opens_at)}."
    )
    for person in of_lab(session, {Role.ADMIN}):
        mails.queue(session, use, "decision_scheduled", person.email, f"Scheduled: {title}", text, at)


def blocked(
    session: Session,
    use: Resources,
    decision_id: int,
    title: str,
    because: Sequence[str],
    people: Collection[int | None],
    at: datetime,
) -> None:
    """Tell who proposed and approved it, and all admins, that its moment came and something forbade it."""
    causes = "\n".join(f"  {sentence}" for sentence in because)
    text = (
        f"See what it says: {_page(use, decision_id)}\n\nDecision {decision_id}, {title}, was not carried out. "
        f"Nothing has changed. What forbade it:\n\n{causes}\n\n"
        "It stays blocked. Once this is settled, propose it again."
    )
    _to_concerned(session, use, "decision_blocked", f"Blocked: {title}", text, people, at)


def closed(
    session: Session,
    use: Resources,
    decision_id: int,
    title: str,
    state: str,
    by: str,
    because: str | None,
    people: Collection[int | None],
    at: datetime,
) -> None:
    """Tell who proposed and approved it, and all admins, that it was rejected or cancelled."""
    why = "" if because is None else f"\n\nThe reason:\n\n{quoted(because)}"
    text = (
        f"See it: {_page(use, decision_id)}\n\n"
        f"{by} {state} decision {decision_id}, {title}. It will not be carried out.{why}"
    )
    _to_concerned(session, use, "decision_closed", f"{state.capitalize()}: {title}", text, people, at)


def done(
    session: Session, use: Resources, decision_id: int, title: str, people: Collection[int | None], at: datetime
) -> None:
    """Tell who proposed and approved it, and all admins, that it was carried out at its time."""
    text = (
        f"See it: {_page(use, decision_id)}\n\nDecision {decision_id}, {title}, was carried out on {dates.minute(at)}."
    )
    _to_concerned(session, use, "decision_done", f"Done: {title}", text, people, at)


def sign(session: Session, use: Resources, owners: Sequence[str], agreement: str, model: str, at: datetime) -> None:
    """Ask a partner's owners to sign, so that their organization can download what it is cleared for."""
    text = (
        f"Read and sign it: {use.settings.public_url}/agreements/{agreement}\n\n"
        f"Your organization is cleared for {model}, and the lab asks you to sign {agreement}. Without a signature of "
        "its current version, your organization cannot download stages that require it."
    )
    for owner in owners:
        mails.queue(session, use, SIGNATURE_REMINDER, owner, f"Please sign: {agreement}", text, at)


def stage_opened(
    session: Session,
    use: Resources,
    stage: str,
    public_reason: str,
    at: datetime,
    *,
    cleared: Select[int] | None,
) -> None:
    """Tell partners' owners that a stage was released. cleared: to these organizations; None: to everyone."""
    query = select(Person).join(Organization, Person.organization_id == Organization.id)
    query = query.where(~Organization.is_lab, Organization.suspended_at.is_(None), Person.role == Role.OWNER)
    if cleared is not None:
        query = query.where(Organization.id.in_(cleared))
    whom = "everyone" if cleared is None else "partners that are cleared for it, as your organization is"
    text = (
        f"See the stage, and whether there is anything left to do: {use.settings.public_url}/stages/{stage}\n\n"
        f"The lab released {stage} to {whom}, on {dates.minute(at)}. Its reason:\n\n{quoted(public_reason)}"
    )
    for person in session.scalars(query.where(Person.disabled_at.is_(None)).order_by(Person.id)):
        mails.queue(session, use, "stage_opened", person.email, f"Released: {stage}", text, at)


def _to_concerned(
    session: Session, use: Resources, kind: str, subject: str, text: str, people: Collection[int | None], at: datetime
) -> None:
    """All admins, and these people though they be admins no longer: each once, and nobody who is disabled."""
    query = select(Person).where(Person.id.in_([one for one in people if one is not None]))
    told = {person.email for person in of_lab(session, {Role.ADMIN})}
    told |= {person.email for person in session.scalars(query.where(Person.disabled_at.is_(None)))}
    for email in sorted(told):
        mails.queue(session, use, kind, email, subject, text, at)


def _page(use: Resources, decision_id: int) -> str:
    return f"{use.settings.public_url}/admin/decisions/{decision_id}"
