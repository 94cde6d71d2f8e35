"""The whole schema: every module with tables is imported here, so that migrations see them all."""

from server.domain import marks
from server.domain.access import access_requests, clearances, quotas, refusals, reminders, signatures
from server.domain.accounts import ceremonies, factors, invitations, password_resets
from server.domain.audit import logs, mirror, verifications, witnessing
from server.domain.delivery import alarms, decoys, deliveries, log_follower, reconciliation_run, seen_reads, statistics
from server.domain.downloads import keyed_downloads, session_downloads
from server.domain.identity import (
    device_logins,
    known_credentials,
    linked_identities,
    organizations,
    people,
    proposals,
    role_grants,
    sessions,
    token_uses,
    tokens,
    trust_records,
    workload_tokens,
)
from server.domain.mail import mails
from server.domain.operation import nodes
from server.domain.publish import checkpoints, descriptions, uploads
from server.domain.release import agreements, cuts, decisions, finding_attachments, findings, stages, tiers
from server.log import authority, cosignatures, entries, sealing
from server.migrations import support
from server.storage.database import Base

MODULES = (
    access_requests, agreements, alarms, authority, ceremonies, checkpoints, clearances, cosignatures, cuts, decisions,
    decoys, deliveries, descriptions, device_logins, entries, factors, finding_attachments, findings, invitations,
    keyed_downloads, known_credentials, linked_identities, log_follower, logs, mails, marks, mirror, nodes,
    organizations, password_resets, people, proposals, quotas, reconciliation_run, refusals, reminders, role_grants,
    sealing, seen_reads, session_downloads, sessions, signatures, stages, statistics, support, tiers, token_uses,
    tokens, trust_records, uploads, verifications, witnessing, workload_tokens,
)  # fmt: skip
METADATA = Base.metadata
