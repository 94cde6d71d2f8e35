"""Notices: who is told of an act, and in which words. The subject says the fact, the first line what to do."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.identity.proposals import Proposal
from server.domain.mail import mails
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.resources import Resources

ALARM = "alarm"
ALARMS_GATHER_FOR = timedelta(minutes=1)  # one mail for what is raised together, however many runs raise it
ALARM_LINES_AT_MOST = 20


def request_waits(
    session: Session,
    use: Resources,
    request_id: int,
    organization: str,
    wanted: str,
    asker: Person,
    purpose: str,
    wanted_until: datetime,
    at: datetime,
    *,
    is_renewal: bool = False,
) -> None:
    """Tell the lab's admins that a partner asks for access. wanted: `research on gpt-2`."""
    asks = "requests to renew access" if is_renewal else "requests access"
    text = (
        f"Review the request: {use.settings.public_url}/admin/requests/{request_id}\n\n"
        f"{asker.name} ({asker.email}) {asks} for {organization}:\n"
        f"  Tier:   {wanted}\n"
        f"  Until:  {dates.last_day(wanted_until)}\n\n"
        f"Purpose, in their own words:\n\n{quoted(purpose)}"
    )
    to_lab(session, use, {Role.ADMIN}, "access_request", f"{organization} {asks} to {wanted}", text, at)


def request_declined(
    session: Session, use: Resources, organization_id: int, asked_by: int, wanted: str, because: str, at: datetime
) -> None:
    """Tell who asked, and the organization's owners, that the answer is no, and why."""
    text = (
        f"The lab declined your organization's request for {wanted}. What you can download has not changed.\n\n"
        f"The lab's reason:\n\n{quoted(because)}\n\n"
        f"To see the request or send a new one: {use.settings.public_url}/requests"
    )
    to_partner(session, use, organization_id, asked_by, "access_declined", f"Declined: {wanted}", text, at)


def cleared(
    session: Session,
    use: Resources,
    organization_id: int,
    asked_by: int | None,
    wanted: str,
    starts_at: datetime,
    expires_at: datetime,
    at: datetime,
) -> None:
    """Tell a partner that a clearance is in force."""
    begins = "from now" if starts_at <= at else f"from {dates.minute(starts_at)}"
    text = (
        f"See what you can download, and whether there is an agreement to sign: {use.settings.public_url}/\n\n"
        f"Your organization is cleared for {wanted} {begins} until {dates.minute(expires_at)}."
    )
    to_partner(session, use, organization_id, asked_by, "access_approved", f"Approved: {wanted}", text, at)


def clearance_waits(
    session: Session, use: Resources, clearance_id: int, organization: str, wanted: str, proposer: str, at: datetime
) -> None:
    """Tell the lab's other admins that a clearance needs one of them."""
    text = (
        f"Approve or revoke it: {use.settings.public_url}/admin/clearances/{clearance_id}\n\n"
        f"{proposer} proposed to clear {organization} for {wanted}. "
        "The clearance takes effect once another admin approves it."
    )
    subject = f"Approval needed: {wanted} for {organization}"
    for person in of_lab(session, {Role.ADMIN}):
        if person.email != proposer:
            mails.queue(session, use, "clearance_waits", person.email, subject, text, at)


def role_waits(session: Session, use: Resources, person: Person, role: Role, proposer: Person, at: datetime) -> None:
    """Tell the lab's other admins that somebody's role needs one of them."""
    text = (
        f"Approve or reject it: {use.settings.public_url}/admin/people/{person.id}\n\n"
        f"{proposer.email} proposed the role {role} for {person.email}, who can do nothing with it until another admin "
        "approves. Approve only if you know this person, and that nobody else can sign in as them."
    )
    for admin in of_lab(session, {Role.ADMIN}):
        if admin.id not in {proposer.id, person.id}:
            subject = f"Approval needed: {role} for {person.email}"
            mails.queue(session, use, "role_waits", admin.email, subject, text, at)


def proposal_waits(session: Session, use: Resources, proposal: Proposal, at: datetime) -> None:
    """Tell the lab's other admins that an act needs one of them."""
    text = (
        f"Approve or reject it: {use.settings.public_url}/admin/proposals/{proposal.id}\n\n"
        f"{proposal.proposer.email} proposed {proposal.title}, which takes two people. Nothing has changed yet."
    )
    for admin in of_lab(session, {Role.ADMIN}):
        if admin.id != proposal.proposed_by:
            mails.queue(session, use, "proposal_waits", admin.email, f"Approval needed: {proposal.title}", text, at)


def proposal_closed(session: Session, use: Resources, proposal: Proposal, by: str, at: datetime) -> None:
    """Tell whoever proposed an act what another decided."""
    if proposal.closed_by == proposal.proposed_by:
        return
    subject = f"{proposal.state.capitalize()}: {proposal.title}"
    text = (
        f"See proposal {proposal.id}: {use.settings.public_url}/admin/proposals/{proposal.id}\n\n"
        f"{by} {proposal.state} what you proposed: {proposal.title}."
    )
    mails.queue(session, use, "proposal_closed", proposal.proposer.email, subject, text, at)


def role_given(session: Session, use: Resources, person: Person, role: Role, at: datetime) -> None:
    """Tell somebody that they now have a role."""
    text = (
        f"Your home page shows what you can do: {use.settings.public_url}/\n\n"
        f"Two admins gave you the role {role} on {dates.minute(at)}."
    )
    mails.queue(session, use, "role_given", person.email, f"You now have the role {role}", text, at)


def not_cleared(
    session: Session,
    use: Resources,
    organization_id: int,
    asked_by: int,
    wanted: str,
    because: str | None,
    at: datetime,
) -> None:
    """Tell who asked that the clearance which their request became was turned down before it was in force."""
    text = (
        f"The lab's second admin did not approve your organization's request for {wanted}. "
        "What you can download has not changed.\n\n"
        f"{_reason(because)}See the request: {use.settings.public_url}/requests\n\n"
        "For questions, use the contact address below."
    )
    to_partner(session, use, organization_id, asked_by, "access_declined", f"Not approved: {wanted}", text, at)


def revoked(
    session: Session,
    use: Resources,
    organization_id: int,
    asked_by: int | None,
    wanted: str,
    because: str | None,
    at: datetime,
) -> None:
    """Tell a partner that its access has ended before its day."""
    text = (
        f"Your organization's clearance for {wanted} was revoked on {dates.minute(at)}. "
        "No more downloads are issued under it. Files that you already have are not affected.\n\n"
        f"{_reason(because)}See what you can download now: {use.settings.public_url}/\n"
        "For questions, use the contact address below."
    )
    to_partner(session, use, organization_id, asked_by, "access_revoked", f"Revoked: {wanted}", text, at)


def signature_waits(
    session: Session, use: Resources, signature_id: int, organization: str, what: str, signer: str, at: datetime
) -> None:
    """Tell the lab's admins that a partner signed, and waits for them. what: `version 2 of model-sharing`."""
    text = (
        f"Countersign or decline it: {use.settings.public_url}/admin/signatures/{signature_id}\n\n"
        f"{organization} signed {what} on {dates.minute(at)}. The signer, as typed:\n\n{quoted(signer)}"
    )
    to_lab(session, use, {Role.ADMIN}, "signature_waits", f"{organization} has signed {what}", text, at)


def countersigned(
    session: Session, use: Resources, organization_id: int, signed_by: int | None, what: str, at: datetime
) -> None:
    """Tell a partner that its signature is in force."""
    text = (
        f"See what you can download now: {use.settings.public_url}/\n\n"
        f"The lab countersigned {what} on {dates.minute(at)}. The signature is in force. Your signed copy: "
        f"{use.settings.public_url}/agreements"
    )
    to_partner(session, use, organization_id, signed_by, "countersigned", f"In force: {what}", text, at)


def signature_declined(
    session: Session, use: Resources, organization_id: int, signed_by: int | None, what: str, because: str, at: datetime
) -> None:
    """Tell a partner that the lab did not countersign, and why."""
    text = (
        f"The lab declined your signature of {what}, so it is not in force. Once this is settled, sign again: "
        f"{use.settings.public_url}/agreements\n\nThe lab's reason:\n\n{quoted(because)}"
    )
    to_partner(session, use, organization_id, signed_by, "signature_declined", f"Declined: {what}", text, at)


def alarms_raised(session: Session, use: Resources, sentences: Iterable[str], at: datetime) -> None:
    """Tell admins and auditors of new alarms; those of one minute come in one mail. sentences: one for each alarm."""
    counted = Counter(sentences)
    if not counted:
        return
    lines = "\n".join(f"  {dates.minute(at)}: {number} x {sentence}" for sentence, number in counted.items())
    page = f"Review the alarms: {use.settings.public_url}/audit/alarms"
    for person in of_lab(session, {Role.ADMIN, Role.AUDITOR}):
        waiting = session.scalar(_GATHERING.where(Mail.recipient == person.email))
        if waiting is None:
            text = f"{page}\n\nAlarms, oldest first:\n\n{lines}\n\nEach alarm is also an entry in the log."
            mails.queue(session, use, ALARM, person.email, "Alarm: review what was fetched", text, at,
                        wait=ALARMS_GATHER_FOR)  # fmt: skip
        elif waiting.text.count(" x ") < ALARM_LINES_AT_MOST:
            waiting.text = waiting.text.replace("\n\nEach alarm is", f"\n{lines}\n\nEach alarm is", 1)
        elif "and more" not in waiting.text:
            waiting.text = waiting.text.replace("\n\nEach alarm is", "\n  … and more.\n\nEach alarm is", 1)


def to_lab(
    session: Session, use: Resources, roles: set[Role], kind: str, subject: str, text: str, at: datetime
) -> None:
    """Everybody of the lab in these roles who is not disabled."""
    for person in of_lab(session, roles):
        mails.queue(session, use, kind, person.email, subject, text, at)


def to_partner(
    session: Session,
    use: Resources,
    organization_id: int,
    asked_by: int | None,
    kind: str,
    subject: str,
    text: str,
    at: datetime,
) -> None:
    """The organization's owners, and who asked: each once, and nobody who is disabled."""
    told = (Person.role == Role.OWNER) | (Person.id == asked_by)
    query = select(Person).where(Person.organization_id == organization_id, told, Person.disabled_at.is_(None))
    for person in session.scalars(query.order_by(Person.id)):
        mails.queue(session, use, kind, person.email, subject, text, at)


# Locked: the worker that sends it now would send it without the new lines.
_GATHERING = (
    select(Mail)
    .where(Mail.kind == ALARM, Mail.next_attempt_at.is_not(None), Mail.attempts == 0)
    .order_by(Mail.id.desc())
    .limit(1)
    .with_for_update()
)


def _reason(because: str | None) -> str:
    return "" if because is None else f"The lab's reason:\n\n{quoted(because)}\n\n"


def quoted(text: str) -> str:
    """What somebody else wrote, marked in every line: it must not pass for ours."""
    return "\n".join(f"> {line}" for line in text.splitlines())


def of_lab(session: Session, roles: set[Role]) -> list[Person]:
    """Whoever of the lab has one of these roles and is not disabled."""
    query = select(Person).join(Organization, Person.organization_id == Organization.id)
    active = query.where(Organization.is_lab, Person.role.in_(roles), Person.disabled_at.is_(None))
    return list(session.scalars(active.order_by(Person.id)))
