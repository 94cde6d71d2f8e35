"""What people whose account somebody else set up do first: replace the password and the authenticator app."""

import pyotp
from sqlalchemy import select

from server.domain.accounts import factors
from server.domain.callers import Caller
from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.domain.resources import Resources

OWN = "a password of one's own"


def choose_password(use: Resources, email: str, present: str) -> None:
    """Replace the password by `OWN`."""
    factors.change_password(use, _person(use, email), present, OWN)


def set_up_app(use: Resources, email: str) -> None:
    """Replace the authenticator app."""
    caller = _person(use, email)
    ceremony = factors.begin_totp(use, caller)
    with use.database.reading() as session:
        secret = factors.pending_totp(session, use, caller, ceremony)
    factors.replace_totp(use, caller, ceremony, pyotp.TOTP(secret).at(use.clock()))


def _person(use: Resources, email: str) -> Caller:
    with use.database.reading() as session:
        row = session.scalars(select(Person).where(Person.email == email)).one()
        return Caller("session", row.organization_id, row.organization.slug, row.id, email, role=Role(row.role))
