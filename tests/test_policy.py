"""The policy against a matrix that was written by hand: who may do what, and with which token."""

import ast
from pathlib import Path

import pytest

from server.domain.identity import proposals
from server.domain.permissions import POLICY, PURPOSE, Permission, Role, Scope

SERVER = Path(__file__).parents[1] / "server"
COLUMNS = (Role.OWNER, Role.MEMBER, Role.ADMIN, Role.PUBLISHER, Role.AUDITOR, Role.PENDING, None)
SCOPES = (
    Scope.STAGES_READ, Scope.DOWNLOADS_CREATE, Scope.LOG_READ, Scope.CHECKPOINTS_PUBLISH, Scope.FINDINGS_CREATE,
    Scope.FINDINGS_READ,
)  # fmt: skip

# Written by hand, from the words of DESIGN and of the security notes; never generated from the table that it checks.
MATRIX = """
                      partner         lab                                 no       token scopes
                      owner  member   admin  publisher  auditor  pending  sign-in  stages:read  downloads:create  log:read  checkpoints:publish  findings:create  findings:read
me.read               yes    yes      yes    yes        yes      -        -        yes          yes               yes       yes                  yes      yes
stage.read            yes    yes      yes    yes        yes      -        yes      yes          yes               -         yes                  -        -
checkpoint.read       yes    yes      yes    yes        yes      -        yes      yes          yes               -         yes                  -        -
download.create       yes    yes      yes    yes        -        -        yes      -            yes               -         -                    -        -
download.read         yes    yes      yes    yes        yes      -        -        yes          -                 yes       -                    -        -
log.read              yes    yes      yes    yes        yes      -        -        -            -                 yes       -                    -        -
organization.read     yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
person.read           yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
clearance.read        yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
tier.read             yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
agreement.read        yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
token.read            yes    yes      yes    yes        yes      -        -        yes          -                 -         -                    -        -
token.create          yes    yes      yes    yes        yes      -        -        -            -                 -         -                    -        -
token.revoke          yes    yes      yes    yes        yes      -        -        -            -                 -         -                    -        -
trust_record.manage   yes    -        -      -          -        -        -        -            -                 -         -                    -        -
person.manage         yes    -        yes    -          -        -        -        -            -                 -         -                    -        -
role.grant            -      -        yes    -          -        -        -        -            -                 -         -                    -        -
proposal.read         -      -        yes    yes        yes      -        -        -            -                 -         -                    -        -
proposal.create       -      -        yes    yes        -        -        -        -            -                 -         yes                  -        -
proposal.approve      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
organization.manage   -      -        yes    -          -        -        -        -            -                 -         -                    -        -
tier.manage           -      -        yes    -          -        -        -        -            -                 -         -                    -        -
agreement.manage      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
signature.record      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
clearance.propose     -      -        yes    -          -        -        -        -            -                 -         -                    -        -
clearance.approve     -      -        yes    -          -        -        -        -            -                 -         -                    -        -
clearance.revoke      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
stage.manage          -      -        yes    -          -        -        -        -            -                 -         -                    -        -
stage.hold            -      -        yes    -          -        -        -        -            -                 -         -                    -        -
decision.read         -      -        yes    yes        yes      -        -        yes          -                 -         -                    -        -
decision.propose      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
decision.approve      -      -        yes    -          -        -        -        -            -                 -         -                    -        -
log.manage            -      -        yes    -          -        -        -        -            -                 -         -                    -        -
log.erase             -      -        yes    -          -        -        -        -            -                 -         -                    -        -
checkpoint.publish    -      -        yes    yes        -        -        -        -            -                 -         yes                  -        -
account.manage        yes    yes      yes    yes        yes      yes      -        -            -                 -         -                    -        -
agreement.sign        yes    -        -      -          -        -        -        -            -                 -         -                    -        -
access_request.read   yes    yes      yes    yes        yes      -        -        -            -                 -         -                    -        -
access_request.create yes    yes      -      -          -        -        -        -            -                 -         -                    -        -
access_request.decide -      -        yes    -          -        -        -        -            -                 -         -                    -        -
finding.read          yes    yes      yes    yes        yes      -        -        -            -                 -         -                    yes      yes
finding.create        yes    yes      yes    yes        -        -        -        -            -                 -         -                    yes      -
finding.triage        -      -        yes    -          -        -        -        -            -                 -         -                    -        -
alarm.read            -      -        yes    -          yes      -        -        -            -                 -         -                    -        -
alarm.resolve         -      -        yes    -          -        -        -        -            -                 -         -                    -        -
decoy.manage          -      -        yes    -          -        -        -        -            -                 -         -                    -        -
log.audit             -      -        yes    -          yes      -        -        -            -                 -         -                    -        -
"""  # noqa: E501
ROWS = [line.split() for line in MATRIX.strip().splitlines()[2:]]
# The same for what a scope is made for: whoever lacks it gets no such token.
MADE_FOR = {
    Scope.STAGES_READ: Permission.STAGE_READ,
    Scope.DOWNLOADS_CREATE: Permission.DOWNLOAD_CREATE,
    Scope.LOG_READ: Permission.LOG_READ,
    Scope.CHECKPOINTS_PUBLISH: Permission.CHECKPOINT_PUBLISH,
    Scope.FINDINGS_CREATE: Permission.FINDING_CREATE,
    Scope.FINDINGS_READ: Permission.FINDING_READ,
}


def test_the_matrix_names_every_permission_once() -> None:
    """A new permission needs a row that somebody wrote and thought about."""
    assert [row[0] for row in ROWS] == [str(permission) for permission in Permission]
    assert list(POLICY) == list(Permission)
    assert {len(row) for row in ROWS} == {1 + len(COLUMNS) + len(SCOPES)}
    assert {cell for row in ROWS for cell in row[1:]} == {"yes", "-"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_policy_is_what_was_written_by_hand(row: list[str]) -> None:
    """Role by role and scope by scope."""
    rule = POLICY[Permission(row[0])]
    cells = [cell == "yes" for cell in row[1:]]
    roles = [rule.anonymous if role is None else role in rule.roles for role in COLUMNS]
    assert roles + [scope in rule.scopes for scope in SCOPES] == cells


def test_the_matrix_knows_every_role_and_scope() -> None:
    """None was added without a column."""
    assert set(COLUMNS) == {*Role, None}
    assert set(SCOPES) == set(Scope)
    assert PURPOSE == MADE_FOR


@pytest.mark.parametrize("permission", Permission)
def test_every_permission_has_a_sentence(permission: Permission) -> None:
    """It is shown to whoever lacks it."""
    sentence = POLICY[permission].sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "  " not in sentence


def test_every_permission_is_asked_for_somewhere() -> None:
    """A permission that nothing checks would only look like a protection."""
    asked = set()
    for path in SERVER.rglob("*.py"):
        if path.name == "permissions.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Permission":
                asked.add(node.attr)
    assert asked == {permission.name for permission in Permission}


def test_no_token_manages_anything_but_files_and_reports() -> None:
    """Who may do what is changed by people who are present, never by a script's credential."""
    managed = {permission for permission in Permission if not permission.endswith(".read")}
    with_tokens = {permission for permission in managed if POLICY[permission].scopes}
    files = {Permission.DOWNLOAD_CREATE, Permission.CHECKPOINT_PUBLISH, Permission.FINDING_CREATE}
    # Of the checkpoint that was uploaded, and of nothing else: the proposed act's own permission is asked for, too.
    assert with_tokens == files | {Permission.PROPOSAL_CREATE}
    proposable = {about.permission for about in proposals.KINDS.values() if POLICY[about.permission].scopes}
    assert proposable == {Permission.CHECKPOINT_PUBLISH}
