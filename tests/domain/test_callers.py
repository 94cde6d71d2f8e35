"""Callers: what the policy gives them, and what the log keeps of them."""

import pytest

from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired, InsufficientScope, NotPermitted, Refused
from server.domain.permissions import POLICY, Permission, Role, Scope

TOKEN = Caller(via="token", organization_id=2, person_id=7, role=Role.MEMBER, token_id=5)


@pytest.mark.parametrize(
    ("caller", "permission", "code"),
    [
        (Caller(via="anonymous"), Permission.STAGE_READ, None),
        (Caller(via="anonymous"), Permission.ME_READ, AuthenticationRequired),
        (Caller(via="cli", role=Role.MEMBER), Permission.ME_READ, None),
        (Caller(via="cli", role=Role.MEMBER), Permission.PERSON_MANAGE, NotPermitted),
        (Caller(via="session", role=Role.OWNER), Permission.PERSON_MANAGE, None),
        (TOKEN, Permission.ME_READ, InsufficientScope),
        (TOKEN, Permission.TOKEN_CREATE, InsufficientScope),
        (TOKEN, Permission.PERSON_MANAGE, NotPermitted),
    ],
)
def test_a_caller_has_what_the_policy_gives_to_role_and_scope(
    caller: Caller, permission: Permission, code: type[Refused] | None
) -> None:
    """The role comes first, then the token's scope; without a role only what is open to all."""
    if code is None:
        caller.require(permission)
    else:
        with pytest.raises(code):
            caller.require(permission)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("permission", Permission)
def test_a_token_does_what_any_of_its_scopes_carries(scope: Scope, permission: Permission) -> None:
    """The token of somebody whose role has the permission does exactly what the table says for its scope."""
    role = min(POLICY[permission].roles)
    caller = Caller(via="token", role=role, token_id=5, scopes=frozenset({scope}))
    if scope in POLICY[permission].scopes:
        caller.require(permission)
    else:
        with pytest.raises(InsufficientScope) as answer:
            caller.require(permission)
        assert all(carried in answer.value.detail for carried in POLICY[permission].scopes)


def test_scopes_say_nothing_of_who_came_without_a_token() -> None:
    """A person who signed in acts by role alone."""
    Caller(via="cli", role=Role.ADMIN).require(Permission.STAGE_HOLD)


def test_the_log_keeps_of_a_caller_what_is_known_and_no_secret() -> None:
    """Keys of the database and what is not known are left out."""
    assert Caller(via="anonymous").as_record() == {"via": "anonymous"}
    known = Caller(
        via="token", organization_id=2, organization="org", person_id=7, person="a@b.example", role=Role.OWNER,
        token_id=5, token_public_id="x" * 12, scopes=frozenset(Scope), address="::1", user_agent="curl", request_id="1",
    )  # fmt: skip
    assert known.as_record() == {
        "via": "token", "organization": "org", "person": "a@b.example", "token": "x" * 12, "address": "::1",
        "user_agent": "curl",
    }  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_staff_are_the_lab_s_roles(role: Role) -> None:
    """Owners and members are partners; nobody without a role is staff."""
    assert Caller(via="cli", role=role).is_staff == (role in {Role.ADMIN, Role.PUBLISHER, Role.AUDITOR})
    assert not Caller(via="anonymous").is_staff
