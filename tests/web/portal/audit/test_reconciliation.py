"""Reconciliation: a run is told with what it found, and what it raised is one click away."""

from pathlib import Path

from server.domain.delivery import reconciliation
from server.domain.downloads import issuing
from tests.access_log_lines import read_of, write_log
from tests.visits import words
from tests.world import World


def test_a_run_is_told(sqlite_world: World, tmp_path: Path) -> None:
    """Its lines, what matched, and the alarms that are open."""
    world, visit = sqlite_world, sqlite_world.visit("auditor")
    assert "No access logs have been read yet" in words(visit.get("/audit/reconciliation"))
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    line = read_of(download, world.use.clock(), "hparams.json", address="198.51.100.7")
    reconciliation.reconcile(world.use, [write_log(tmp_path / "log", [line])])
    page = visit.get("/audit/reconciliation")
    assert "Foreign address: 1 open" in words(page)
    assert "kind=foreign_address&amp;state=open" in page.text
    assert f'href="/audit/log/{world.entries("reconciliation")[0].id}"' in page.text
    assert world.visit("publisher").get("/audit/reconciliation").status_code == 403
