"""The beginning of an instance: its lab, its first two admins, its log, and the row that holds "everything"."""

from dataclasses import dataclass

import orjson
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.audit import logs
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.identity import email_addresses, organizations, people, role_grants
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.identity.proposals import ProposalKind
from server.domain.identity.role_grants import RoleGrant
from server.domain.permissions import Role
from server.domain.release.stages import Everything
from server.domain.resources import Resources
from server.log.entries import Log, LogEntry

TAKES_TWO = sorted(ProposalKind)  # what the audit holds an instance to from its beginning, or from when it adopts it


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """One of the first two admins; password and TOTP secret are shown once."""

    email: str
    name: str
    password: str
    totp_secret: str = ""


def has_begun(use: Resources) -> bool:
    """Whether there is a log; without a schema there is none."""
    with use.database.reading() as session:
        return inspect(session.connection()).has_table(Log.__tablename__) and has_log(session)


def has_log(session: Session) -> bool:
    return session.scalar(select(Log.id).limit(1)) is not None


def begin(use: Resources, lab: str, lab_name: str, admins: list[FirstAdmin]) -> list[FirstAdmin]:
    """Make the rows that everything else builds on, all or none. Two admins, since many acts take two people."""
    if len(admins) != 2 or len({email_addresses.folded(admin.email) for admin in admins}) != 2:
        raise InvalidRequest("A new instance needs exactly two admins: one alone could not approve anything.")
    hashes = [people.hash_password(admin.password) for admin in admins]
    with use.database.transaction() as session:
        if has_log(session):
            raise NotPossible("This instance has already been set up.")
        at = use.clock()
        session.add(Everything(id=1))
        log = logs.open_next(session, use, at)
        home = organizations.create(session, lab, lab_name, is_lab=True, at=at)
        made = []
        for admin, hashed in zip(admins, hashes, strict=True):
            person, totp_secret = people.create(session, use, home, admin.email, admin.name, Role.ADMIN, hashed)
            role_grants.root(session, person, at)
            made.append(FirstAdmin(person.email, admin.name, admin.password, totp_secret))
        record = {
            "actor": Caller(via="cli").as_record(), "origin": log.origin, "organization": lab,
            "organization_id": home.id,
            "vkey": log.vkey, "receipt_vkey": log.receipt_vkey, "second_person_tier": use.settings.second_person_tier,
            "admins": [admin.email for admin in made], "two_people": True, "takes_two": TAKES_TWO,
        }  # fmt: skip
        acts.append(session, EntryKind.INSTANCE_BEGIN, at, record, organization_id=home.id)
        return made


def adopt_rules(use: Resources) -> bool:
    """Let two people be demanded from now on, in an instance of before that rule, or for acts that it did not cover
    then; returns whether that is new.

    use: with the owner's role. The audit judges what comes before the entry as it was judged then.
    """
    with use.database.transaction() as session:
        session.scalar(select(Everything).with_for_update())  # of two that start at once, one writes it
        adopted = _adopted(session)
        if not has_log(session) or (adopted is not None and adopted.issuperset(TAKES_TWO)):
            return False
        root = select(Person).join(RoleGrant, RoleGrant.person_id == Person.id).where(RoleGrant.is_root)
        first = session.scalars(root) if adopted is None else ()
        lab = session.scalars(select(Organization).where(Organization.is_lab)).one()
        record = {
            "actor": Caller(via="cli").as_record(), "organization": lab.slug,
            "first_admins": [admin.email for admin in first], "takes_two": TAKES_TWO,
        }  # fmt: skip
        acts.append(session, EntryKind.RULES_ADOPT, use.clock(), record, organization_id=lab.id)
        return True


def _adopted(session: Session) -> set[str] | None:
    """The acts that are known to take two people, of those that are proposed; None before the rule of two people."""
    kinds = (str(EntryKind.INSTANCE_BEGIN), str(EntryKind.RULES_ADOPT))
    records = map(orjson.loads, session.scalars(select(LogEntry.record).where(LogEntry.kind.in_(kinds))))
    adopting = [one for one in records if one.get("two_people") or one["kind"] == EntryKind.RULES_ADOPT]
    return {kind for one in adopting for kind in one.get("takes_two", ())} if adopting else None
