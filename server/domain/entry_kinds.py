"""Entry kinds: everything that a log entry can be about, each with its words, who does it, and what it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from server.domain.permissions import Permission


class EntryKind(StrEnum):
    """What an entry is about: every kind that is written, and every one that ever was."""

    ACCESS_REQUEST_APPROVE = "access_request.approve"
    ACCESS_REQUEST_CREATE = "access_request.create"
    ACCESS_REQUEST_DECLINE = "access_request.decline"
    ACCESS_REQUEST_WITHDRAW = "access_request.withdraw"
    AGREEMENT_PUBLISH = "agreement.publish"
    ALARM = "alarm"
    ALARM_RESOLVE = "alarm.resolve"
    CHECKPOINT_PUBLISH = "checkpoint.publish"
    CHECKPOINT_SET_MAIN = "checkpoint.set_main"
    CLEARANCE_APPROVE = "clearance.approve"
    CLEARANCE_PROPOSE = "clearance.propose"
    CLEARANCE_REVOKE = "clearance.revoke"
    CLOCK_ACKNOWLEDGE = "clock.acknowledge"
    DECISION_APPROVE = "decision.approve"
    DECISION_BLOCK = "decision.block"
    DECISION_CANCEL = "decision.cancel"
    DECISION_EXECUTE = "decision.execute"
    DECISION_PROPOSE = "decision.propose"
    DECISION_REJECT = "decision.reject"
    DECOY_PLACE = "decoy.place"
    DECOY_REMOVE = "decoy.remove"
    DOWNLOAD = "download"
    ENTRY_ERASE = "entry.erase"
    EVIDENCE_EXPORT = "evidence.export"
    FINDING_ANSWER = "finding.answer"
    FINDING_ATTACH = "finding.attach"
    FINDING_ERASE = "finding.erase"
    FINDING_OPEN = "finding.open"
    FINDING_RELEASE = "finding.release"
    FINDING_REPORT = "finding.report"
    FINDING_TRIAGE = "finding.triage"
    HEARTBEAT = "heartbeat"
    HOLD_CUT = "hold.cut"
    HOLD_LAY = "hold.lay"
    HOLD_LIFT = "hold.lift"
    HOLD_PLACE = "hold.place"
    INSTANCE_BEGIN = "instance.begin"
    INVITATION_INVITE = "invitation.invite"
    INVITATION_WITHDRAW = "invitation.withdraw"
    LOG_ARCHIVE = "log.archive"
    LOG_CLOSE = "log.close"
    LOG_EXPORT = "log.export"
    LOG_OPEN = "log.open"
    LOG_RESUME = "log.resume"
    MODEL_ADD = "model.add"
    ORGANIZATION_ADD = "organization.add"
    ORGANIZATION_NETWORKS = "organization.networks"
    ORGANIZATION_QUOTA = "organization.quota"
    ORGANIZATION_RENAME = "organization.rename"
    ORGANIZATION_RESUME = "organization.resume"
    ORGANIZATION_SUSPEND = "organization.suspend"
    PASSWORD_RESET = "password.reset"  # noqa: S105  # a kind's name
    PERSON_ACCEPT_INVITATION = "person.accept_invitation"
    PERSON_ADD = "person.add"
    PERSON_CHANGE_ROLE = "person.change_role"
    PERSON_DISABLE = "person.disable"
    PERSON_ENABLE = "person.enable"
    PERSON_FACTOR_ADD = "person.factor_add"
    PERSON_FACTOR_NAME = "person.factor_name"
    PERSON_FACTOR_REMOVE = "person.factor_remove"
    PERSON_FACTOR_REPLACE = "person.factor_replace"
    PERSON_IDENTITY_LINK = "person.identity_link"
    PERSON_IDENTITY_UNLINK = "person.identity_unlink"
    PERSON_PASSWORD_CHANGE = "person.password_change"  # noqa: S105  # a kind's name
    PERSON_RESET_PASSWORD = "person.reset_password"  # noqa: S105  # a kind's name
    PROPOSAL_APPROVE = "proposal.approve"
    PROPOSAL_CREATE = "proposal.create"
    PROPOSAL_REJECT = "proposal.reject"
    RECONCILIATION = "reconciliation"
    ROLE_GRANT = "role.grant"
    ROLE_PROPOSE = "role.propose"
    ROLE_REJECT = "role.reject"
    ROLE_RESTORE = "role.restore"
    ROLE_WITHDRAW = "role.withdraw"
    RULES_ADOPT = "rules.adopt"
    SIGNATURE_COUNTERSIGN = "signature.countersign"
    SIGNATURE_DECLINE = "signature.decline"
    SIGNATURE_END = "signature.end"
    SIGNATURE_RECORD = "signature.record"
    SIGNATURE_SIGN = "signature.sign"
    STAGE_ADD = "stage.add"
    STAGE_ALIAS = "stage.alias"
    STAGE_ANNOUNCE = "stage.announce"
    STAGE_EDIT = "stage.edit"
    STAGE_MOVE = "stage.move"
    TIER_ADD = "tier.add"
    TIER_EDIT = "tier.edit"
    TOKEN_CREATE = "token.create"  # noqa: S105  # a kind's name
    TOKEN_EXCHANGE = "token.exchange"  # noqa: S105  # a kind's name
    TOKEN_REVOKE = "token.revoke"  # noqa: S105  # a kind's name
    TOKEN_REVOKE_LEAKED = "token.revoke_leaked"  # noqa: S105  # a kind's name
    TOKEN_ROTATE = "token.rotate"  # noqa: S105  # a kind's name
    TOKEN_TAKE_OVER = "token.take_over"  # noqa: S105  # a kind's name
    TRUST_RECORD_CREATE = "trust_record.create"
    TRUST_RECORD_REVOKE = "trust_record.revoke"


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a kind.

    permission: what whoever does it must have; None where nobody in particular acts, or anybody may. subject, stage and
    code name the field of the record that the columns of these names repeat. ends and resumes: what downloads rest on
    that no longer counts after it, or counts again.
    """

    words: str
    permission: Permission | None = None
    subject: str | None = None
    stage: str | None = None
    code: str | None = None
    ends: str | None = None
    resumes: str | None = None


KINDS: dict[EntryKind, About] = {
    EntryKind.ACCESS_REQUEST_APPROVE: About(
        "Access request approved", Permission.ACCESS_REQUEST_DECIDE, subject="access_request"
    ),
    EntryKind.ACCESS_REQUEST_CREATE: About(
        "Access requested", Permission.ACCESS_REQUEST_CREATE, subject="access_request"
    ),
    EntryKind.ACCESS_REQUEST_DECLINE: About(
        "Access request declined", Permission.ACCESS_REQUEST_DECIDE, subject="access_request"
    ),
    EntryKind.ACCESS_REQUEST_WITHDRAW: About(
        "Access request withdrawn", Permission.ACCESS_REQUEST_CREATE, subject="access_request"
    ),
    EntryKind.AGREEMENT_PUBLISH: About("Agreement version published", Permission.AGREEMENT_MANAGE, subject="agreement"),
    EntryKind.ALARM: About("Alarm raised", subject="download", code="alarm"),
    EntryKind.ALARM_RESOLVE: About("Alarm resolved", Permission.ALARM_RESOLVE, subject="download", code="alarm"),
    EntryKind.CHECKPOINT_PUBLISH: About(
        "Checkpoint published", Permission.CHECKPOINT_PUBLISH, subject="checkpoint", stage="stage"
    ),
    EntryKind.CHECKPOINT_SET_MAIN: About(
        "Main checkpoint changed", Permission.CHECKPOINT_PUBLISH, subject="checkpoint", stage="stage"
    ),
    EntryKind.CLEARANCE_APPROVE: About("Clearance approved", Permission.CLEARANCE_APPROVE, subject="clearance"),
    EntryKind.CLEARANCE_PROPOSE: About("Clearance proposed", Permission.CLEARANCE_PROPOSE, subject="clearance"),
    EntryKind.CLEARANCE_REVOKE: About(
        "Clearance revoked", Permission.CLEARANCE_REVOKE, subject="clearance", ends="clearance"
    ),
    EntryKind.CLOCK_ACKNOWLEDGE: About("Wrong clock acknowledged", Permission.LOG_MANAGE),
    EntryKind.DECISION_APPROVE: About("Decision approved", Permission.DECISION_APPROVE, subject="decision", stage="on"),
    EntryKind.DECISION_BLOCK: About("Decision blocked", subject="decision", stage="on"),
    EntryKind.DECISION_CANCEL: About("Decision cancelled", Permission.DECISION_PROPOSE, subject="decision", stage="on"),
    # By the stage, as downloads rest on it.
    EntryKind.DECISION_EXECUTE: About("Decision carried out", subject="on", stage="on", ends="stage"),
    EntryKind.DECISION_PROPOSE: About("Decision proposed", Permission.DECISION_PROPOSE, subject="decision", stage="on"),
    EntryKind.DECISION_REJECT: About("Decision rejected", Permission.DECISION_APPROVE, subject="decision", stage="on"),
    EntryKind.DECOY_PLACE: About("Decoy placed", Permission.DECOY_MANAGE, subject="decoy", stage="stage"),
    EntryKind.DECOY_REMOVE: About("Decoy removed", Permission.DECOY_MANAGE, subject="decoy", stage="stage"),
    EntryKind.DOWNLOAD: About("Download issued", Permission.DOWNLOAD_CREATE, subject="download", stage="stage"),
    EntryKind.ENTRY_ERASE: About("Entry erased", Permission.LOG_ERASE, subject="entry"),
    EntryKind.EVIDENCE_EXPORT: About("Evidence exported", Permission.LOG_AUDIT),
    EntryKind.FINDING_ANSWER: About("Finding answered", Permission.FINDING_TRIAGE, subject="finding", stage="stage"),
    EntryKind.FINDING_ATTACH: About(
        "File attached to finding", Permission.FINDING_CREATE, subject="finding", stage="stage"
    ),
    EntryKind.FINDING_ERASE: About("Finding's words erased", Permission.LOG_ERASE, subject="finding", stage="stage"),
    EntryKind.FINDING_OPEN: About(
        "Finding's attachment read", Permission.FINDING_READ, subject="finding", stage="stage"
    ),
    EntryKind.FINDING_RELEASE: About("Finding released", Permission.FINDING_TRIAGE, subject="finding", stage="stage"),
    EntryKind.FINDING_REPORT: About("Finding reported", Permission.FINDING_CREATE, subject="finding", stage="stage"),
    EntryKind.FINDING_TRIAGE: About("Finding triaged", Permission.FINDING_TRIAGE, subject="finding", stage="stage"),
    EntryKind.HEARTBEAT: About("Heartbeat"),
    EntryKind.HOLD_CUT: About("Issued URLs cut", subject="on", stage="on"),
    EntryKind.HOLD_LAY: About("Hold placed", Permission.STAGE_HOLD, subject="on", stage="on", ends="hold"),
    EntryKind.HOLD_LIFT: About("Hold lifted", Permission.STAGE_HOLD, subject="on", stage="on", resumes="hold"),
    EntryKind.HOLD_PLACE: About("Hold placed", Permission.STAGE_HOLD, subject="on", stage="on", ends="hold"),
    EntryKind.INSTANCE_BEGIN: About("Instance created", subject="organization"),
    EntryKind.INVITATION_INVITE: About("Person invited", Permission.PERSON_MANAGE, subject="invitation"),
    EntryKind.INVITATION_WITHDRAW: About("Invitation withdrawn", Permission.PERSON_MANAGE, subject="invitation"),
    EntryKind.LOG_ARCHIVE: About("Log month archived", Permission.LOG_MANAGE, subject="month"),
    EntryKind.LOG_CLOSE: About("Log closed", Permission.LOG_MANAGE, subject="next"),
    EntryKind.LOG_EXPORT: About("Log exported", Permission.LOG_AUDIT),
    EntryKind.LOG_OPEN: About("Log opened", Permission.LOG_MANAGE, subject="origin"),
    EntryKind.LOG_RESUME: About("Log resumed", Permission.LOG_MANAGE, subject="origin"),
    EntryKind.MODEL_ADD: About("Model added", Permission.STAGE_MANAGE, subject="stage"),
    EntryKind.ORGANIZATION_ADD: About("Organization added", Permission.ORGANIZATION_MANAGE, subject="organization"),
    EntryKind.ORGANIZATION_NETWORKS: About(
        "Organization's networks set", Permission.ORGANIZATION_MANAGE, subject="organization"
    ),
    EntryKind.ORGANIZATION_QUOTA: About(
        "Organization's quota set", Permission.ORGANIZATION_MANAGE, subject="organization"
    ),
    EntryKind.ORGANIZATION_RENAME: About(
        "Organization renamed", Permission.ORGANIZATION_MANAGE, subject="organization"
    ),
    EntryKind.ORGANIZATION_RESUME: About(
        "Organization resumed", Permission.ORGANIZATION_MANAGE, subject="organization", resumes="organization"
    ),
    EntryKind.ORGANIZATION_SUSPEND: About(
        "Organization suspended", Permission.ORGANIZATION_MANAGE, subject="organization", ends="organization"
    ),
    EntryKind.PASSWORD_RESET: About("Password reset by email", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_ACCEPT_INVITATION: About("Invitation accepted", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_ADD: About("Person added", Permission.PERSON_MANAGE, subject="person_id"),
    EntryKind.PERSON_CHANGE_ROLE: About("Person's role changed", Permission.PERSON_MANAGE, subject="person_id"),
    EntryKind.PERSON_DISABLE: About("Person disabled", Permission.PERSON_MANAGE, subject="person_id", ends="person"),
    EntryKind.PERSON_ENABLE: About("Person enabled", Permission.PERSON_MANAGE, subject="person_id", resumes="person"),
    EntryKind.PERSON_FACTOR_ADD: About("Second factor added", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_FACTOR_NAME: About("Second factor renamed", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_FACTOR_REMOVE: About("Second factor removed", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_FACTOR_REPLACE: About("Second factor replaced", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_IDENTITY_LINK: About("Identity linked", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_IDENTITY_UNLINK: About("Identity removed", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_PASSWORD_CHANGE: About("Password changed", Permission.ACCOUNT_MANAGE, subject="person_id"),
    EntryKind.PERSON_RESET_PASSWORD: About("Password reset", Permission.PERSON_MANAGE, subject="person_id"),
    EntryKind.PROPOSAL_APPROVE: About("Proposal approved", Permission.PROPOSAL_APPROVE, subject="proposal"),
    EntryKind.PROPOSAL_CREATE: About("Proposal made", Permission.PROPOSAL_CREATE, subject="proposal"),
    EntryKind.PROPOSAL_REJECT: About("Proposal closed", Permission.PROPOSAL_CREATE, subject="proposal"),
    EntryKind.RECONCILIATION: About("Access logs reconciled"),
    EntryKind.ROLE_GRANT: About("Role granted", Permission.ROLE_GRANT, subject="person_id"),
    EntryKind.ROLE_PROPOSE: About("Role proposed", Permission.ROLE_GRANT, subject="person_id"),
    EntryKind.ROLE_REJECT: About("Role rejected", Permission.ROLE_GRANT, subject="person_id"),
    EntryKind.ROLE_RESTORE: About("Admin restored on the host", Permission.ROLE_GRANT, subject="person_id"),
    EntryKind.ROLE_WITHDRAW: About("Proposed role withdrawn", Permission.ROLE_GRANT, subject="person_id"),
    EntryKind.RULES_ADOPT: About("Rule of two people adopted", subject="organization"),
    EntryKind.SIGNATURE_COUNTERSIGN: About("Signature countersigned", Permission.SIGNATURE_RECORD, subject="signature"),
    EntryKind.SIGNATURE_DECLINE: About("Signature declined", Permission.SIGNATURE_RECORD, subject="signature"),
    EntryKind.SIGNATURE_END: About(
        "Signature ended", Permission.SIGNATURE_RECORD, subject="signature", ends="signature"
    ),
    EntryKind.SIGNATURE_RECORD: About("Signature recorded", Permission.SIGNATURE_RECORD, subject="signature"),
    EntryKind.SIGNATURE_SIGN: About("Agreement signed", Permission.AGREEMENT_SIGN, subject="signature"),
    EntryKind.STAGE_ADD: About("Stage added", Permission.STAGE_MANAGE, subject="stage", stage="stage"),
    EntryKind.STAGE_ALIAS: About("Stage alias added", Permission.STAGE_MANAGE, subject="stage", stage="stage"),
    EntryKind.STAGE_ANNOUNCE: About(
        "Stage announced or hidden", Permission.STAGE_MANAGE, subject="stage", stage="stage"
    ),
    EntryKind.STAGE_EDIT: About("Stage edited", Permission.STAGE_MANAGE, subject="stage", stage="stage"),
    EntryKind.STAGE_MOVE: About("Stage moved", Permission.STAGE_MANAGE, subject="stage", stage="stage", ends="stage"),
    EntryKind.TIER_ADD: About("Tier added", Permission.TIER_MANAGE, subject="tier"),
    EntryKind.TIER_EDIT: About("Tier's rules changed", Permission.TIER_MANAGE, subject="tier"),
    EntryKind.TOKEN_CREATE: About("Token created", Permission.TOKEN_CREATE, subject="token"),
    # In the name of the owner who made the trust record, who must still be one.
    EntryKind.TOKEN_EXCHANGE: About("Identity token exchanged", Permission.TRUST_RECORD_MANAGE, subject="token"),
    EntryKind.TOKEN_REVOKE: About("Token revoked", Permission.TOKEN_REVOKE, subject="token", ends="token"),
    EntryKind.TOKEN_REVOKE_LEAKED: About("Leaked token revoked", subject="token", ends="token"),
    EntryKind.TOKEN_ROTATE: About("Token rotated", Permission.TOKEN_REVOKE, subject="token"),
    EntryKind.TOKEN_TAKE_OVER: About("Token taken over", Permission.TOKEN_REVOKE, subject="token"),
    EntryKind.TRUST_RECORD_CREATE: About(
        "Trust record created", Permission.TRUST_RECORD_MANAGE, subject="trust_record"
    ),
    EntryKind.TRUST_RECORD_REVOKE: About(
        "Trust record revoked", Permission.TRUST_RECORD_MANAGE, subject="trust_record", ends="trust_record"
    ),
}


BY_ITSELF = frozenset({EntryKind.HEARTBEAT, EntryKind.RECONCILIATION})  # what the worker writes, time and again
_BY_TEXT = {str(kind): about for kind, about in KINDS.items()}


def columns(kind: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """What the columns `subject`, `stage` and `code` of an entry must say, by its record."""
    about = _BY_TEXT[kind]
    subject = None if about.subject is None else record.get(about.subject)
    if about.subject in {"origin", "next"}:  # of a log's address, its name
        subject = str(subject).rpartition("/")[2]
    return {
        "subject": None if subject is None else str(subject),
        "stage": _stage(record, about.stage),
        "code": None if about.code is None else record.get(about.code),
    }


def _stage(record: Mapping[str, Any], field: str | None) -> str | None:
    """`model/stage`; a download names both apart, and what a hold is on may be something else."""
    if field is None:
        return None
    name = f"{record['model']}/{record['stage']}" if "model" in record else str(record[field])
    return name if "/" in name else None
