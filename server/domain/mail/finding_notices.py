"""Notices about findings: to the lab's admins when one is reported, to its reporter when the lab has got further.

A finding's text stays in the portal: it may be under embargo, and mail passes through many hands.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail import mails
from server.domain.permissions import Role
from server.domain.resources import Resources


def reported(
    session: Session, use: Resources, finding_id: int, organization: str, what: str, title: str, at: datetime, *,
    is_critical: bool,
) -> None:  # fmt: skip
    """Tell the lab's admins of a new finding. what: `misuse, critical: gpt-2/774M`."""
    stops = "It is critical: until it is triaged, no stage of this model can be moved.\n\n" if is_critical else ""
    text = (
        f"Triage it: {use.settings.public_url}/admin/findings/{finding_id}\n\n"
        f"{stops}{organization} reported finding {finding_id} ({what}). Its title, as they wrote it:\n\n> {title}"
    )
    subject = f"{'CRITICAL finding' if is_critical else 'Finding'} from {organization}: {what}"
    query = select(Person).join(Organization, Person.organization_id == Organization.id)
    query = query.where(Organization.is_lab, Person.role == Role.ADMIN, Person.disabled_at.is_(None))
    for person in session.scalars(query.order_by(Person.id)):
        mails.queue(session, use, "finding_reported", person.email, subject, text, at)


def moved_on(
    session: Session, use: Resources, finding_id: int, reporter: Person, said: str | None, answer: str | None,
    at: datetime,
) -> None:  # fmt: skip
    """Tell the reporter how far the lab has got. said: a sentence on what changed; answer: the lab's own words."""
    quoted = None if answer is None else "The lab's answer:\n\n" + "\n".join(f"> {one}" for one in answer.splitlines())
    page = f"See your finding: {use.settings.public_url}/findings/{finding_id}"
    subject = f"{'Triaged' if answer is None else 'Answered'}: your finding {finding_id}"
    if reporter.disabled_at is None:
        kind, text = "finding_moved_on", "\n\n".join(part for part in (page, said, quoted) if part)
        mails.queue(session, use, kind, reporter.email, subject, text, at)


def released(
    session: Session, use: Resources, finding_id: int, stage: str, title: str, to: Collection[int], at: datetime
) -> None:
    """Tell the owners of the organizations that a finding was released to. It is no longer under embargo then."""
    text = (
        f"Read it: {use.settings.public_url}/findings/{finding_id}\n\n"
        f"The lab released a finding on {stage} to your organization. Its title:\n\n> {title}\n\n"
        "It is meant for your organization: ask the lab before you publish it."
    )
    query = select(Person).where(Person.organization_id.in_(to), Person.role == Role.OWNER)
    for person in session.scalars(query.where(Person.disabled_at.is_(None)).order_by(Person.id)):
        mails.queue(session, use, "finding_released", person.email, f"A finding on {stage} was released", text, at)
