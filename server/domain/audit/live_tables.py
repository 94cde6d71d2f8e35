"""The live tables against the log: what the entries alone say is so today, and every row that says something else.

Whoever changes a table by hand gives or takes access without an entry; the log does not know, and this shows it.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy.orm import Session

from server.domain.audit import live_rows
from server.domain.audit.judging.world import UNTOLD, World
from server.domain.audit.live_rows import Names, Rows
from server.log.verification import Fault


def differences(session: Session, world: World) -> Iterator[Fault]:
    """Yield each row that differs from the log, one that only the log knows, and one that it does not know.

    world: of every log, to its last entry; session: on the state that those were read from.
    """
    names = Names(session)
    for table, (told, found) in _TABLES.items():
        yield from _compared(table, told(world), found(session, names))


def not_compared(world: World) -> list[str]:
    """What cannot be compared, in words: it is no fault."""
    return [
        f"tokens {name}: its hash cannot be compared, because it was created before the log recorded hashes"
        for name, token in world.tokens.items()
        if token.sha256 is None
    ]


def _compared(table: str, told: Rows, found: Rows) -> Iterator[Fault]:
    for key in sorted({*told, *found}, key=str):
        row = f"{table} {key}"
        if key not in found:
            yield Fault(row, "it is in the log, but there is no such row")
        elif key not in told:
            yield Fault(row, "the row exists, but is not in the log")
        else:
            for name, value in told[key].items():
                if value is not UNTOLD and found[key][name] != value:
                    yield Fault(row, f"its {name.replace('_', ' ')} differs from the log")


def _known(value: Any) -> Any:
    return UNTOLD if value is None else value


def _told_organizations(world: World) -> Rows:
    return {
        slug: {
            "number": _known(one.id), "name": _known(one.name), "being_the_lab": one.is_lab,
            "networks": one.networks, "bytes_per_day": one.bytes_per_day,
            "requests_per_minute": one.requests_per_minute,
        }
        for slug, one in world.organizations.items()
    }  # fmt: skip


def _told_people(world: World) -> Rows:
    return {
        email: {
            "number": _known(one.id), "organization": one.organization, "role": str(one.role),
            "being_disabled": one.disabled, "being_disabled_by_the_lab": one.disabled_by_lab,
        }
        for email, one in world.people.items()
    }  # fmt: skip


def _told_tokens(world: World) -> Rows:
    return {
        name: {
            "hash": _known(one.sha256), "organization": one.organization, "maker": one.person, "scopes": one.scopes,
            "networks": _known(one.networks), "end": _known(one.expires_at), "revocation": one.revoked,
            "being_a_machine_s": one.trust_record is not None,
            "trust_record": one.trust_record, "subject": one.subject, "run": one.run,
            "identity_token": one.identity_sha256, "door": one.door,
        }
        for name, one in world.tokens.items()
    }  # fmt: skip


def _told_trust_records(world: World) -> Rows:
    return {
        number: {
            "organization": one.organization, "maker": one.person, "name": one.name, "issuer": one.issuer,
            "audience": one.audience, "claims": one.claims, "scopes": one.scopes, "networks": one.networks,
            "end": one.expires_at, "revocation": one.revoked,
        }
        for number, one in world.trust_records.items()
    }  # fmt: skip


def _told_invitations(world: World) -> Rows:
    return {
        number: {
            "organization": one.organization, "person": one.email, "role": one.role, "being_open": one.is_open,
        }
        for number, one in world.invitations.items()
    }  # fmt: skip


def _told_identities(world: World) -> Rows:
    return {
        number: {"person": one.person, "issuer": one.issuer, "subject": one.subject}
        for number, one in world.linked_identities.items()
    }


def _told_role_grants(world: World) -> Rows:
    return {
        number: {
            "person": one.person, "role": str(one.role), "proposer": one.proposed_by, "approver": one.approved_by,
            "state": one.state,
        }
        for number, one in world.role_grants.items()
        if one.state != "closed" or isinstance(number, int)
    }  # fmt: skip


def _told_clearances(world: World) -> Rows:
    return {
        number: {
            "organization": one.organization, "model": one.model, "tier": one.tier, "start": one.starts_at,
            "end": one.expires_at, "proposer": one.proposed_by, "approver": one.approved_by, "revocation": one.revoked,
        }
        for number, one in world.clearances.items()
    }  # fmt: skip


def _told_decisions(world: World) -> Rows:
    return {
        number: {
            "kind": one.decides, "subject": one.on, "first_state": one.before, "last_state": one.to,
            "moment": one.opens_at, "state": one.state, "proposer": one.proposed_by, "approver": one.approved_by,
            "public_reason": one.public_reason, "rationale": one.rationale_sha256,
            "what_would_change_it": one.would_change_sha256, "evidence": one.evidence_sha256,
            "evidence_when_done": one.evidence_when_done_sha256, "findings": one.findings,
        }
        for number, one in world.decisions.items()
    }  # fmt: skip


def _told_signatures(world: World) -> Rows:
    return {
        number: {"organization": one.organization, "version": one.agreement_sha256, "state": one.state}
        for number, one in world.signatures.items()
    }


def _told_stages(world: World) -> Rows:
    return {
        name: {
            "state": str(one.state), "tier": one.tier, "being_announced": one.announced, "agreement": one.agreement,
            "aliases": one.aliases, "position": one.ordinal, "planned_window": one.planned, "note": one.note,
            "minimum_of_reports": one.reports_at_least, "main_checkpoint": one.main,
        }
        for name, one in world.stages.items()
    }  # fmt: skip


def _told_proposals(world: World) -> Rows:
    return {
        number: {
            "kind": one.what, "subject": one.on, "proposer": one.proposed_by, "approver": one.approved_by,
            "being_open": one.state == "proposed",
        }
        for number, one in world.proposals.items()
    }  # fmt: skip


def _told_tiers(world: World) -> Rows:
    return {
        name: {"rank": rank, "report_to_renew": name in world.report_to_renew} for name, rank in world.ranks.items()
    }


def _told_agreements(world: World) -> Rows:
    ends = {name: until for name, (_, until) in world.lasting.items()}
    return {
        name: {"current_version": sha256, "time_to_sign_again": ends.get(name)}
        for name, sha256 in world.current.items()
    }


def _told_findings(world: World) -> Rows:
    return {
        number: {
            "organization": one.organization, "stage": one.stage, "state": str(one.state),
            "severity": str(one.severity), "text": UNTOLD if one.erased else one.text_sha256,
            "answer": UNTOLD if one.erased else one.answer_sha256,
            "embargo": one.embargo_until, "permission_to_publish": one.may_publish,
            "readers": {one.organization, *one.released_to}, "attachments": one.attachments,
        }
        for number, one in world.findings.items()
    }  # fmt: skip


def _told_decoys(world: World) -> Rows:
    return {
        number: {"stage": one.stage, "object_key": one.object_key, "size": one.size_bytes, "removal": one.removed}
        for number, one in world.decoys.items()
    }


_TABLES: dict[str, tuple[Callable[[World], Rows], Callable[[Session, Names], Rows]]] = {
    "organizations": (_told_organizations, live_rows.organizations),
    "people": (_told_people, live_rows.people),
    "tokens": (_told_tokens, live_rows.tokens),
    "trust records": (_told_trust_records, live_rows.trust_records),
    "invitations": (_told_invitations, live_rows.invitations),
    "linked identities": (_told_identities, live_rows.linked_identities),
    "role grants": (_told_role_grants, live_rows.role_grants),
    "proposals": (_told_proposals, live_rows.proposals),
    "tiers": (_told_tiers, live_rows.tiers),
    "agreements": (_told_agreements, live_rows.agreements),
    "models": (lambda world: {name: {} for name in world.models}, live_rows.models),
    "stages": (_told_stages, live_rows.stages),
    "checkpoints": (
        lambda world: {number: {"stage": stage} for number, stage in world.checkpoints.items()},
        live_rows.checkpoints,
    ),
    "clearances": (_told_clearances, live_rows.clearances),
    "decisions": (_told_decisions, live_rows.decisions),
    "signatures": (_told_signatures, live_rows.signatures),
    "findings": (_told_findings, live_rows.findings),
    "decoys": (_told_decoys, live_rows.decoys),
    "holds": (lambda world: {on: {"author": _known(by)} for on, by in world.held.items()}, live_rows.holds),
}
