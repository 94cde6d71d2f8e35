"""The live tables in the words of the log: what each row says, by the names that entries use."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from server import dates
from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.accounts.invitations import Invitation
from server.domain.decisions import records
from server.domain.delivery.decoys import Decoy
from server.domain.identity.linked_identities import LinkedIdentity
from server.domain.identity.organizations import HELD_AS, Organization, Quota
from server.domain.identity.people import Person
from server.domain.identity.proposals import Proposal
from server.domain.identity.role_grants import RoleGrant
from server.domain.identity.tokens import Token
from server.domain.identity.trust_records import TrustRecord
from server.domain.identity.workload_tokens import WorkloadToken
from server.domain.publish.checkpoints import IS_PUBLISHED, Checkpoint
from server.domain.release import plans
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.release.decisions import Decision, DecisionFinding
from server.domain.release.finding_attachments import FindingAttachment
from server.domain.release.findings import Finding, FindingReader, sha256_of
from server.domain.release.holds import EVERYTHING, Held
from server.domain.release.stages import Everything, Model, Stage, StageAlias
from server.domain.release.tiers import Tier

Rows = Mapping[Any, Mapping[str, Any]]


class Names:
    """By which words the log calls what the tables number."""

    def __init__(self, session: Session) -> None:
        self.slugs = dict(session.execute(select(Organization.id, Organization.slug)).all())
        self.emails = dict(session.execute(select(Person.id, Person.email)).all())
        self.models = dict(session.execute(select(Model.id, Model.name)).all())
        self.tiers = dict(session.execute(select(Tier.id, Tier.name)).all())
        self.agreements = dict(session.execute(select(Agreement.id, Agreement.name)).all())
        self.versions = dict(session.execute(select(AgreementVersion.id, AgreementVersion.sha256)).all())


def organizations(session: Session, _: Names) -> Rows:
    query = select(Organization, Quota).outerjoin(Quota, Quota.organization_id == Organization.id)
    return {
        one.slug: {
            "number": one.id, "name": one.name, "being_the_lab": one.is_lab,
            "networks": one.networks, "bytes_per_day": quota and quota.bytes_per_day,
            "requests_per_minute": quota and quota.requests_per_minute,
        }
        for one, quota in session.execute(query)
    }  # fmt: skip


def people(session: Session, names: Names) -> Rows:
    return {
        one.email: {
            "number": one.id, "organization": names.slugs.get(one.organization_id), "role": str(one.role),
            "being_disabled": one.disabled_at is not None, "being_disabled_by_the_lab": one.disabled_by_lab,
        }
        for one in session.scalars(select(Person))
    }  # fmt: skip


def tokens(session: Session, names: Names) -> Rows:
    made = {one.token_id: one for one in session.scalars(select(WorkloadToken))}
    return {
        one.public_id: {
            "hash": one.secret_sha256.hex(), "organization": names.slugs.get(one.organization_id),
            "maker": names.emails.get(one.person_id), "scopes": frozenset(one.scopes.split()),
            "networks": tuple(one.networks.split()), "end": dates.milliseconds(one.expires_at),
            "revocation": one.revoked_at is not None, "being_a_machine_s": one.of_machine,
            **_machine(made.get(one.id)),
        }
        for one in session.scalars(select(Token))
    }  # fmt: skip


def _machine(made: WorkloadToken | None) -> Mapping[str, Any]:
    return {
        "trust_record": made and made.trust_record_id, "subject": made and made.subject, "run": made and made.run,
        "identity_token": made and made.identity_sha256.hex(), "door": made and made.door,
    }  # fmt: skip


def trust_records(session: Session, names: Names) -> Rows:
    return {
        one.id: {
            "organization": names.slugs.get(one.organization_id), "maker": names.emails.get(one.person_id),
            "name": one.name, "issuer": one.issuer, "audience": one.audience, "claims": one.required,
            "scopes": frozenset(one.scopes.split()), "networks": tuple(one.networks.split()),
            "end": dates.milliseconds(one.expires_at), "revocation": one.revoked_at is not None,
        }
        for one in session.scalars(select(TrustRecord))
    }  # fmt: skip


def invitations(session: Session, names: Names) -> Rows:
    return {
        one.id: {
            "organization": names.slugs.get(one.organization_id), "person": one.email, "role": str(one.role),
            "being_open": one.accepted_at is None and one.withdrawn_at is None,
        }
        for one in session.scalars(select(Invitation))
    }  # fmt: skip


def linked_identities(session: Session, names: Names) -> Rows:
    return {
        one.id: {"person": names.emails.get(one.person_id), "issuer": one.issuer, "subject": one.subject}
        for one in session.scalars(select(LinkedIdentity))
    }


def role_grants(session: Session, names: Names) -> Rows:
    """Each that is or was proposed by somebody; of the first two admins' own, that which still stands."""
    states = (RoleGrant.closed_at, "closed"), (RoleGrant.approved_at, "standing")
    state = case(*[(moment.is_not(None), word) for moment, word in states], else_="open")
    query = select(RoleGrant, state).where(~RoleGrant.is_root | RoleGrant.closed_at.is_(None))
    return {
        f"of {names.emails.get(one.person_id)}" if one.is_root else one.id: {
            "person": names.emails.get(one.person_id), "role": str(one.role),
            "proposer": names.emails.get(one.proposed_by or 0), "approver": names.emails.get(one.approved_by or 0),
            "state": word,
        }
        for one, word in session.execute(query)
    }  # fmt: skip


def proposals(session: Session, names: Names) -> Rows:
    return {
        one.id: {
            "kind": str(one.kind), "subject": one.subject, "proposer": names.emails.get(one.proposed_by),
            "approver": names.emails.get(one.approved_by or 0), "being_open": one.state == "proposed",
        }
        for one in session.scalars(select(Proposal))
    }  # fmt: skip


def clearances(session: Session, names: Names) -> Rows:
    return {
        one.id: {
            "organization": names.slugs.get(one.organization_id), "model": names.models.get(one.model_id),
            "tier": names.tiers.get(one.tier_id), "start": dates.milliseconds(one.starts_at),
            "end": dates.milliseconds(one.expires_at),
            "proposer": names.emails.get(one.proposed_by), "approver": names.emails.get(one.approved_by or 0),
            "revocation": one.revoked_at is not None,
        }
        for one in session.scalars(select(Clearance))
    }  # fmt: skip


def decisions(session: Session, names: Names) -> Rows:
    findings: dict[int, set[int]] = {}
    for decision_id, finding_id in session.execute(select(DecisionFinding.decision_id, DecisionFinding.finding_id)):
        findings.setdefault(decision_id, set()).add(finding_id)
    return {
        one.id: {
            "kind": str(one.kind), "subject": one.subject, "first_state": one.from_state, "last_state": one.to_state,
            "moment": None if one.opens_at is None else dates.milliseconds(one.opens_at), "state": str(one.state),
            "proposer": names.emails.get(one.proposed_by), "approver": names.emails.get(one.approved_by or 0),
            "public_reason": one.public_reason, "rationale": records.sha256(one.rationale),
            "what_would_change_it": records.sha256(one.would_change), "evidence": records.sha256(one.evidence),
            "evidence_when_done": None if one.evidence_when_done is None else records.sha256(one.evidence_when_done),
            "findings": findings.get(one.id, set()),
        }
        for one in session.scalars(select(Decision))
    }  # fmt: skip


def signatures(session: Session, names: Names) -> Rows:
    return {
        one.id: {
            "organization": names.slugs.get(one.organization_id), "version": names.versions.get(one.version_id),
            "state": str(one.standing),
        }
        for one in session.scalars(select(Signature))
    }  # fmt: skip


def stages(session: Session, names: Names) -> Rows:
    aliases: dict[int, set[str]] = {}
    for stage_id, alias in session.execute(select(StageAlias.stage_id, StageAlias.name)):
        aliases.setdefault(stage_id, set()).add(alias)
    mains = dict(
        session.execute(
            select(Checkpoint.id, Checkpoint.checkpoint_id).join(Stage, Stage.main_checkpoint_id == Checkpoint.id)
        ).all()
    )
    return {
        f"{names.models.get(one.model_id)}/{one.name}": {
            "state": str(one.state), "tier": names.tiers.get(one.tier_id), "being_announced": one.announced,
            "agreement": names.agreements.get(one.agreement_id or 0), "aliases": aliases.get(one.id, set()),
            "position": one.ordinal, "planned_window": plans.as_text(one.plan.window), "note": one.note,
            "minimum_of_reports": one.reports_at_least, "main_checkpoint": mains.get(one.main_checkpoint_id or 0),
        }
        for one in session.scalars(select(Stage))
    }  # fmt: skip


def checkpoints(session: Session, names: Names) -> Rows:
    """Those that are published: a draft is nobody's."""
    query = select(Checkpoint.checkpoint_id, Stage.model_id, Stage.name).join(Checkpoint.stage).where(IS_PUBLISHED)
    return {key: {"stage": f"{names.models.get(model)}/{name}"} for key, model, name in session.execute(query)}


def decoys(session: Session, names: Names) -> Rows:
    query = select(Decoy, Stage.model_id, Stage.name).join(Decoy.stage)
    return {
        one.id: {
            "stage": f"{names.models.get(model)}/{name}", "object_key": one.object_key, "size": one.size_bytes,
            "removal": one.removed_at is not None,
        }
        for one, model, name in session.execute(query)
    }  # fmt: skip


def holds(session: Session, names: Names) -> Rows:
    rows: dict[str, Held] = {row.name: row for row in session.scalars(select(Model))}
    if (everything := session.get(Everything, 1)) is not None:
        rows[EVERYTHING] = everything
    rows |= {f"{names.models.get(row.model_id)}/{row.name}": row for row in session.scalars(select(Stage))}
    rows |= {HELD_AS + row.slug: row for row in session.scalars(select(Organization))}
    return {on: {"author": row.held_by} for on, row in rows.items() if row.held_at is not None}


def findings(session: Session, names: Names) -> Rows:
    readers: dict[int, set[str]] = {}
    for finding_id, organization_id in session.execute(select(FindingReader.finding_id, FindingReader.organization_id)):
        readers.setdefault(finding_id, set()).add(names.slugs.get(organization_id, ""))
    attached: dict[int, dict[int, str]] = {}
    for one in session.scalars(select(FindingAttachment).where(FindingAttachment.completed_at.is_not(None))):
        attached.setdefault(one.finding_id, {})[one.id] = one.sha256
    stages = {one.id: f"{names.models.get(one.model_id)}/{one.name}" for one in session.scalars(select(Stage))}
    return {
        one.id: {
            "organization": names.slugs.get(one.organization_id), "stage": stages.get(one.stage_id),
            "state": str(one.state), "severity": str(one.severity),
            "text": sha256_of(one.title, one.text),
            "answer": one.answer and sha256_of(one.answer),
            "embargo": one.embargo_until and str(one.embargo_until), "permission_to_publish": one.may_publish,
            "readers": readers.get(one.id, set()),
            "attachments": attached.get(one.id, {}),
        }
        for one in session.scalars(select(Finding))
    }  # fmt: skip


def agreements(session: Session, names: Names) -> Rows:
    ends = dict(session.execute(select(AgreementVersion.id, AgreementVersion.resign_until)).all())
    found = [(one.name, one.current_version_id or 0) for one in session.scalars(select(Agreement))]
    return {
        name: {
            "current_version": names.versions.get(key),
            "time_to_sign_again": (end := ends.get(key)) and dates.milliseconds(end),
        }
        for name, key in found
    }


def tiers(session: Session, _: Names) -> Rows:
    return {
        one.name: {"rank": one.rank, "report_to_renew": one.report_to_renew} for one in session.scalars(select(Tier))
    }


def models(_: Session, names: Names) -> Rows:
    return {name: {} for name in names.models.values()}
