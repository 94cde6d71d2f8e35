"""Every rule that judges one kind of entry by those before it."""

from server.domain.audit.judging import (
    access,
    archives,
    decisions,
    decoys,
    findings,
    holds,
    people,
    proposals,
    release,
    roles,
    trust,
)
from server.domain.audit.judging.world import JudgedByNothing, Rule
from server.domain.entry_kinds import EntryKind

RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    **people.RULES,
    **access.RULES,
    **findings.RULES,
    **release.RULES,
    **proposals.RULES,
    **roles.RULES,
    **trust.RULES,
    **decisions.RULES,
    **holds.RULES,
    **archives.RULES,
    **decoys.RULES,
}
