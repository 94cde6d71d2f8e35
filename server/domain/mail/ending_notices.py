"""Notices of what ends by itself: whose access, on which day, and what to do before it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from server import dates
from server.domain.mail import notices
from server.domain.permissions import Role
from server.domain.resources import Resources


def access_ends(
    session: Session,
    use: Resources,
    organization_id: int,
    asked_by: int | None,
    clearance_id: int,
    wanted: str,
    days: int,
    expires_at: datetime,
    at: datetime,
    *,
    is_asked: bool,
) -> None:
    """Tell a partner that its clearance ends in so many days. is_asked: whether the lab already has a request."""
    renew = (
        f"You requested access for longer, and the lab has not decided yet: {use.settings.public_url}/requests"
        if is_asked
        else f"Renew it, if you need it for longer: {use.settings.public_url}/requests/renew/{clearance_id}"
    )
    text = (
        f"{renew}\n\n"
        f"Your organization's clearance for {wanted} ends {in_days(days)}: {dates.last_day(expires_at)} is its last "
        "day (UTC). After that, no more downloads are issued under it. Files that you already have are not affected."
    )
    subject = f"Access ends {in_days(days)}: {wanted}"
    notices.to_partner(session, use, organization_id, asked_by, "access_ends", subject, text, at)


def sign_again(
    session: Session,
    use: Resources,
    organization_id: int,
    agreement: str,
    number: int,
    resign_until: datetime,
    at: datetime,
    *,
    is_first: bool,
) -> None:
    """Tell a partner's owners until when to sign an agreement's new version. is_first: it was published just now."""
    what, by = f"version {number} of {agreement}", dates.last_day(resign_until)
    text = (
        f"Read and sign it: {use.settings.public_url}/agreements/{agreement}\n\n"
        f"The lab {'has published' if is_first else 'still needs your signature of'} {what}. Your signature of the "
        f"version before counts until the end of {by} (UTC). After that, stages that require this agreement are closed "
        "to your organization until an owner has signed and the lab has countersigned, so please do not wait for the "
        "last day."
    )
    subject = f"Sign {what} by {by}" if is_first else f"Not signed yet: {what}, by {by}"
    notices.to_partner(session, use, organization_id, None, "sign_again", subject, text, at)


def week(
    session: Session, use: Resources, clearances: Sequence[tuple[str, str, datetime]], more: bool, at: datetime
) -> None:
    """Tell the lab's admins what ends next. clearances: of whom, what, and when. more: there are others after them."""
    lines = "\n".join(f"  {dates.last_day(ends)}: {wanted}, {name}" for name, wanted, ends in clearances)
    text = (
        f"See them in your queue: {use.settings.public_url}/admin/queue#ending\n\n"
        f"These clearances end within 60 days, and no other one outlasts them:\n\n{lines}"
        f"{chr(10) + '  … and more.' if more else ''}\n\n"
        "Their organizations are reminded 60, 30, 7 and 1 days before. You need to do nothing unless they ask."
    )
    subject = f"Ending soon: {len(clearances)}{'+' if more else ''} clearance{'' if len(clearances) == 1 else 's'}"
    notices.to_lab(session, use, {Role.ADMIN}, "access_ends_week", subject, text, at)


def in_days(days: int) -> str:
    """`today`, `tomorrow`, `in 12 days`."""
    return {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
