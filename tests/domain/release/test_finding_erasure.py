"""Erasing a finding's words: they are gone from rows and store, the log still verifies, and says who did it and why."""

import pytest

from server.domain.audit import verifying
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.release import finding_erasure, finding_triage, findings
from server.domain.release.findings import FindingState
from tests.attached import attached
from tests.findings import report
from tests.world import World


def test_the_words_and_files_are_gone_and_the_log_verifies(world: World) -> None:
    """With the tables, too; what the finding was about, and how far the lab got, stays."""
    number = report(world, title="Of somebody", text="Their address.")
    file = attached(world, number)
    finding_triage.triage(world.use, world.admin, number, FindingState.CONFIRMED, answer="Thank you, somebody.")
    finding_erasure.erase(world.use, world.admin, number, "Request 17, Article 17 GDPR")
    with world.use.database.reading() as session:
        found = findings.get(session, world.person("cleared"), number)
    assert (found.title, found.text, found.answer, found.state) == ("Erased", "Erased", "Erased", "confirmed")
    assert world.use.store.head(file.object_key) is None
    assert world.records("finding.erase")[0]["because"] == "Request 17, Article 17 GDPR"
    world.seal()
    assert [fault for log in verifying.verify(world.use, tables=True) for fault in log.faults] == []
    with pytest.raises(NotPossible):
        finding_erasure.erase(world.use, world.admin, number, "Again")


def test_only_an_admin_erases(sqlite_world: World) -> None:
    """And only what is there."""
    number = report(sqlite_world)
    for who in ("cleared", "publisher", "auditor"):
        with pytest.raises(NotPermitted):
            finding_erasure.erase(sqlite_world.use, sqlite_world.person(who), number, "Asked to.")
    with pytest.raises(NotFound):
        finding_erasure.erase(sqlite_world.use, sqlite_world.admin, 99, "Asked to.")
