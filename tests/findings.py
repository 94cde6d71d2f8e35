"""A finding for tests to begin with."""

from typing import Any

from server.domain.access import finding_reports
from server.domain.access.finding_reports import Report
from server.domain.callers import Caller
from server.domain.release.findings import FindingKind, Severity
from tests.world import World

AS_USUAL: dict[str, Any] = {
    "stage": "gpt-2/774M", "kind": FindingKind.BIAS, "severity": Severity.LOW, "title": "A title",
    "text": "What we saw.",
}  # fmt: skip


def report(world: World, caller: Caller | None = None, **more: Any) -> int:
    """Report a finding as the cleared partner's owner, unless told otherwise; returns its id."""
    by = world.person("cleared") if caller is None else caller
    return finding_reports.report(world.use, by, Report(**AS_USUAL | more)).id
