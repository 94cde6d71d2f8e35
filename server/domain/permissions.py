"""The whole policy as one table: each permission, its sentence, who has it, and which token scopes carry it."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person is, in a partner (`owner`, `member`) or in the lab (the others).

    `pending`: somebody of the lab whose first role waits for a second admin.
    """

    OWNER = "owner"
    MEMBER = "member"
    ADMIN = "admin"
    PUBLISHER = "publisher"
    AUDITOR = "auditor"
    PENDING = "pending"


class Scope(StrEnum):
    """What a token was made for. A token never does more than its maker's role allows."""

    STAGES_READ = "stages:read"
    DOWNLOADS_CREATE = "downloads:create"
    LOG_READ = "log:read"
    CHECKPOINTS_PUBLISH = "checkpoints:publish"
    FINDINGS_CREATE = "findings:create"
    FINDINGS_READ = "findings:read"


class Permission(StrEnum):
    """One thing that can be allowed."""

    ME_READ = "me.read"
    STAGE_READ = "stage.read"
    CHECKPOINT_READ = "checkpoint.read"
    DOWNLOAD_CREATE = "download.create"
    DOWNLOAD_READ = "download.read"
    LOG_READ = "log.read"
    ORGANIZATION_READ = "organization.read"
    PERSON_READ = "person.read"
    CLEARANCE_READ = "clearance.read"
    TIER_READ = "tier.read"
    AGREEMENT_READ = "agreement.read"
    TOKEN_READ = "token.read"  # noqa: S105  # a permission's name
    TOKEN_CREATE = "token.create"  # noqa: S105
    TOKEN_REVOKE = "token.revoke"  # noqa: S105
    TRUST_RECORD_MANAGE = "trust_record.manage"
    PERSON_MANAGE = "person.manage"
    ROLE_GRANT = "role.grant"
    PROPOSAL_READ = "proposal.read"
    PROPOSAL_CREATE = "proposal.create"
    PROPOSAL_APPROVE = "proposal.approve"
    ORGANIZATION_MANAGE = "organization.manage"
    TIER_MANAGE = "tier.manage"
    AGREEMENT_MANAGE = "agreement.manage"
    SIGNATURE_RECORD = "signature.record"
    CLEARANCE_PROPOSE = "clearance.propose"
    CLEARANCE_APPROVE = "clearance.approve"
    CLEARANCE_REVOKE = "clearance.revoke"
    STAGE_MANAGE = "stage.manage"
    STAGE_HOLD = "stage.hold"
    DECISION_READ = "decision.read"
    DECISION_PROPOSE = "decision.propose"
    DECISION_APPROVE = "decision.approve"
    LOG_MANAGE = "log.manage"
    LOG_ERASE = "log.erase"
    CHECKPOINT_PUBLISH = "checkpoint.publish"
    ACCOUNT_MANAGE = "account.manage"
    AGREEMENT_SIGN = "agreement.sign"
    ACCESS_REQUEST_READ = "access_request.read"
    ACCESS_REQUEST_CREATE = "access_request.create"
    ACCESS_REQUEST_DECIDE = "access_request.decide"
    FINDING_READ = "finding.read"
    FINDING_CREATE = "finding.create"
    FINDING_TRIAGE = "finding.triage"
    ALARM_READ = "alarm.read"
    ALARM_RESOLVE = "alarm.resolve"
    DECOY_MANAGE = "decoy.manage"
    LOG_AUDIT = "log.audit"


@dataclass(frozen=True, slots=True)
class Rule:
    """Who has a permission."""

    sentence: str
    roles: frozenset[Role]
    scopes: frozenset[Scope] = frozenset()  # any one of them is enough; none: no token can
    anonymous: bool = False  # also without sign-in; what is shown then is for the access rule to say


STAFF = frozenset({Role.ADMIN, Role.PUBLISHER, Role.AUDITOR})
PARTNERS = frozenset({Role.OWNER, Role.MEMBER})
EVERYONE = STAFF | PARTNERS
ADMIN = frozenset({Role.ADMIN})
PUBLISHING = frozenset({Role.ADMIN, Role.PUBLISHER})
OWNER_OR_ADMIN = frozenset({Role.OWNER, Role.ADMIN})
ANY_SCOPE = frozenset(Scope)
READING = frozenset({Scope.STAGES_READ})
FETCHING = frozenset({Scope.STAGES_READ, Scope.DOWNLOADS_CREATE, Scope.CHECKPOINTS_PUBLISH})
ISSUING = frozenset({Scope.DOWNLOADS_CREATE})
REPORTING = frozenset({Scope.FINDINGS_CREATE})
FOLLOWING = frozenset({Scope.FINDINGS_CREATE, Scope.FINDINGS_READ})
LOOKING_BACK = frozenset({Scope.STAGES_READ, Scope.LOG_READ})

PURPOSE = {  # what a scope is made for: a role that lacks this has no use for the scope
    Scope.STAGES_READ: Permission.STAGE_READ,
    Scope.DOWNLOADS_CREATE: Permission.DOWNLOAD_CREATE,
    Scope.LOG_READ: Permission.LOG_READ,
    Scope.CHECKPOINTS_PUBLISH: Permission.CHECKPOINT_PUBLISH,
    Scope.FINDINGS_CREATE: Permission.FINDING_CREATE,
    Scope.FINDINGS_READ: Permission.FINDING_READ,
}

POLICY: dict[Permission, Rule] = {
    Permission.ME_READ: Rule("See your own account and what your organization is cleared for.", EVERYONE, ANY_SCOPE),
    Permission.STAGE_READ: Rule("See stages.", EVERYONE, FETCHING, anonymous=True),
    Permission.CHECKPOINT_READ: Rule(
        "See the checkpoints, files and manifests of a stage you are cleared for.", EVERYONE, FETCHING, anonymous=True
    ),
    Permission.DOWNLOAD_CREATE: Rule(
        "Exchange a clearance for signed URLs.", EVERYONE - {Role.AUDITOR}, ISSUING, anonymous=True
    ),
    Permission.DOWNLOAD_READ: Rule("See your organization's downloads; staff: all downloads.", EVERYONE, LOOKING_BACK),
    Permission.LOG_READ: Rule(
        "Read log entries about your organization; staff: all entries.", EVERYONE, frozenset({Scope.LOG_READ})
    ),
    Permission.ORGANIZATION_READ: Rule("See your organization; staff: all organizations.", EVERYONE, READING),
    Permission.PERSON_READ: Rule("See the people in your organization; staff: everyone.", EVERYONE, READING),
    Permission.CLEARANCE_READ: Rule("See your organization's clearances; staff: all clearances.", EVERYONE, READING),
    Permission.TIER_READ: Rule("See the tiers and their ranks.", EVERYONE, READING),
    Permission.AGREEMENT_READ: Rule("Read agreements and see your organization's signatures.", EVERYONE, READING),
    Permission.TOKEN_READ: Rule(
        "See your own tokens; owners: their organization's; staff: all tokens.", EVERYONE, READING
    ),
    Permission.TOKEN_CREATE: Rule("Create a token for yourself.", EVERYONE),
    Permission.TOKEN_REVOKE: Rule(
        "Revoke your own tokens; owners: their organization's; admins: all tokens.", EVERYONE
    ),
    Permission.TRUST_RECORD_MANAGE: Rule(
        "Say which workloads may act for your organization, and revoke it.", frozenset({Role.OWNER})
    ),
    Permission.PERSON_MANAGE: Rule(
        "Add, disable and enable people and reset passwords: owners in their organization, admins anywhere.",
        OWNER_OR_ADMIN,
    ),
    Permission.ROLE_GRANT: Rule("Propose a role in the lab, and approve or reject what another proposed.", ADMIN),
    Permission.PROPOSAL_READ: Rule("See what was proposed and approved.", STAFF),
    Permission.PROPOSAL_CREATE: Rule(
        "Propose what takes two people, and withdraw it.", PUBLISHING, frozenset({Scope.CHECKPOINTS_PUBLISH})
    ),
    Permission.PROPOSAL_APPROVE: Rule("Approve or reject what another person proposed.", ADMIN),
    Permission.ORGANIZATION_MANAGE: Rule("Add organizations, and set their quotas and networks.", ADMIN),
    Permission.TIER_MANAGE: Rule("Define tiers.", ADMIN),
    Permission.AGREEMENT_MANAGE: Rule("Publish a version of an agreement.", ADMIN),
    Permission.SIGNATURE_RECORD: Rule("Record and countersign an organization's signature, or end it.", ADMIN),
    Permission.CLEARANCE_PROPOSE: Rule("Propose a clearance.", ADMIN),
    Permission.CLEARANCE_APPROVE: Rule("Approve a clearance that someone else proposed.", ADMIN),
    Permission.CLEARANCE_REVOKE: Rule("Revoke a clearance.", ADMIN),
    Permission.STAGE_MANAGE: Rule("Add models and stages, and announce them.", ADMIN),
    Permission.STAGE_HOLD: Rule("Place a hold on a stage, a model, everything or an organization.", ADMIN),
    Permission.DECISION_READ: Rule("See every decision, and what it rested on.", STAFF, READING),
    Permission.DECISION_PROPOSE: Rule("Propose a decision, and cancel one.", ADMIN),
    Permission.DECISION_APPROVE: Rule("Approve or reject a decision that someone else proposed.", ADMIN),
    Permission.LOG_MANAGE: Rule("Rotate the log's keys, resume a stopped log and archive its old months.", ADMIN),
    Permission.LOG_ERASE: Rule("Erase a log entry where the law requires it.", ADMIN),
    Permission.CHECKPOINT_PUBLISH: Rule("Publish a checkpoint.", PUBLISHING, frozenset({Scope.CHECKPOINTS_PUBLISH})),
    Permission.ACCOUNT_MANAGE: Rule(
        "Manage your sign-in: password, second factors, sessions.", EVERYONE | frozenset({Role.PENDING})
    ),
    Permission.AGREEMENT_SIGN: Rule("Sign an agreement for your organization.", frozenset({Role.OWNER})),
    Permission.ACCESS_REQUEST_READ: Rule("See your organization's access requests; staff: all requests.", EVERYONE),
    Permission.ACCESS_REQUEST_CREATE: Rule("Request access for your organization, and withdraw the request.", PARTNERS),
    Permission.ACCESS_REQUEST_DECIDE: Rule("Approve or decline an access request.", ADMIN),
    Permission.FINDING_READ: Rule(
        "See your organization's findings and those released to it; staff: all findings.", EVERYONE, FOLLOWING
    ),
    Permission.FINDING_CREATE: Rule(
        "Report a finding on a stage that you have, or had, access to.", EVERYONE - {Role.AUDITOR}, REPORTING
    ),
    Permission.FINDING_TRIAGE: Rule("Triage findings, answer them, and release them to other partners.", ADMIN),
    Permission.ALARM_READ: Rule("See the alarms.", ADMIN | frozenset({Role.AUDITOR})),
    Permission.ALARM_RESOLVE: Rule("Resolve alarms.", ADMIN),
    Permission.DECOY_MANAGE: Rule("Place decoys in the store, and remove them.", ADMIN),
    Permission.LOG_AUDIT: Rule(
        "Audit the log: verify it, export it, and see who could have downloaded what.",
        ADMIN | frozenset({Role.AUDITOR}),
    ),
}
