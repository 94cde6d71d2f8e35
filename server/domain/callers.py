"""The caller: who asks, how they proved it, and from where."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, SQLColumnExpression

from server.domain.errors import AuthenticationRequired, InsufficientScope, NotPermitted
from server.domain.permissions import POLICY, STAFF, Permission, Role, Scope

HANDED = "Your password or your authenticator app is still the one that someone else set up for you."
HANDED_NEXT = "Replace both on your account page in the portal. Then you can do everything else."


@dataclass(frozen=True, slots=True)
class Workload:
    """A machine that shows a token which was made for its identity: under which trust record, who it is, which run."""

    trust_record: int
    subject: str
    run: str | None

    def as_record(self) -> dict[str, Any]:
        known = {"trust_record": self.trust_record, "subject": self.subject}
        return known if self.run is None else known | {"run": self.run}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks; made at the door, passed to everything that decides or records."""

    via: Literal["anonymous", "token", "session", "cli", "workload"]
    organization_id: int | None = None
    organization: str | None = None  # its slug
    person_id: int | None = None
    person: str | None = None  # the e-mail address
    name: str | None = None  # the person's, for greeting; never in a record
    role: Role | None = None
    token_id: int | None = None
    token_public_id: str | None = None
    token_expires_at: datetime | None = None
    known_under: str | None = field(default=None, compare=False)  # the generation that their token was read under
    # Whether that was for an earlier request: then only an append under the same generation may rely on them.
    is_kept: bool = field(default=False, compare=False)
    workload: Workload | None = None
    scopes: frozenset[Scope] = frozenset()
    session_id: int | None = None
    fresh: bool = False  # whether they proved themselves a few minutes ago, as the lab's acts demand
    is_handed: bool = False  # whether what they signed in with is still what somebody else set up for them
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    door: str | None = None  # by which kind of client they came, in one word; never in a record

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF

    def may(self, permission: Permission) -> bool:
        """Whether the policy gives their role the permission: for what a page offers. An act itself asks `require`."""
        rule = POLICY[permission]
        return rule.anonymous if self.role is None else self.role in rule.roles

    def require(self, permission: Permission) -> None:
        """Raise AuthenticationRequired, NotPermitted or InsufficientScope unless the policy gives the permission."""
        rule = POLICY[permission]
        if self.role is None:
            if not rule.anonymous:
                raise AuthenticationRequired
        elif self.role not in rule.roles:
            raise NotPermitted(f"Your role ({self.role}) does not include this permission: {rule.sentence}")
        elif self.is_handed and permission is not Permission.ACCOUNT_MANAGE:
            raise NotPermitted(HANDED, next_step=HANDED_NEXT)
        elif self.via == "token" and not self.scopes & rule.scopes:
            if not rule.scopes:
                raise InsufficientScope("Tokens cannot do this. A person must sign in.", next_step="Contact {contact}.")
            raise InsufficientScope(f"The token lacks the scope {' or '.join(sorted(rule.scopes))}.")

    def within(self, organization_id: SQLColumnExpression[Any]) -> list[ColumnElement[bool]]:
        """What keeps a query to the rows of their organization; nothing for staff, who see everybody's."""
        return [] if self.is_staff else [organization_id == self.organization_id]

    def as_record(self) -> dict[str, Any]:
        """What the log keeps of a caller."""
        known = {
            "via": self.via,
            "organization": self.organization,
            "person": self.person,
            "token": self.token_public_id,
            "workload": None if self.workload is None else self.workload.as_record(),
            "address": self.address,
            "user_agent": self.user_agent,
        }
        return {key: value for key, value in known.items() if value is not None}
