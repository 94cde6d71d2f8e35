"""`export`: evidence is written whole and private, verified with a key alone, and what is wrong is exit code 1."""

import stat
from pathlib import Path

from server.domain.downloads import issuing
from server.log.entries import Log
from tests.cli.operator import Operator
from tests.world import World


def test_evidence_is_written_and_verified_elsewhere(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """By an auditor, into a new folder of mode 0700; verified where there is no instance, with the public key alone."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    folder = tmp_path / "pack"
    day = f"{sqlite_world.clock():%Y-%m-%d}"
    period = ("--from", day, "--to", day, "--out", folder)
    answer = operator("export", "evidence", "--framework", "soc2", *period, "--json", by="auditor")
    assert answer.body["proven"] is True
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        ["evidence.json", "evidence.html", "export.json", "export.proof", "export.consistency"], 0o600
    )
    with sqlite_world.use.database.reading() as session:
        vkey = session.query(Log).one().vkey
    elsewhere = operator.elsewhere(tmp_path / "nothing")
    found = elsewhere("export", "verify", folder, "--vkey", vkey)
    assert found.out.startswith(f"Verified {answer.body['entries']} entries: no faults.")
    assert operator("export", "verify", folder, "--json").body["ok"] is True
    page = folder / "evidence.html"
    page.write_bytes(page.read_bytes() + b" ")
    refuted = elsewhere("export", "verify", folder, "--vkey", vkey, code=1)
    assert refuted.out == (
        "FAULT: evidence.html is not the file that the log tells of\n"
        "FAULT: evidence.html does not show what evidence.json says\nThe evidence is wrong.\n"
    )


def test_wrong_use_of_verify_is_exit_code_2(operator: Operator, tmp_path: Path) -> None:
    """A key that is none; the sentence says so."""
    (tmp_path / "evidence.json").write_text("{}")
    assert "not a verifier key" in operator("export", "verify", tmp_path, "--vkey", "nonsense", code=2).line


def test_a_folder_that_is_there_is_kept(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """Evidence is never written over other evidence, and nothing is told to the log."""
    period = ("--from", "1d", "--to", f"{sqlite_world.clock():%Y-%m-%d}", "--out", tmp_path)
    (tmp_path / "kept").write_text("mine")
    answer = operator("export", "evidence", "--framework", "rand", *period, by="admin", code=1)
    assert "File exists" in answer.line
    assert (tmp_path / "kept").read_text() == "mine"
    assert sqlite_world.records("evidence.export") == []


def test_a_refused_export_leaves_no_folder(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """A publisher may not; a period of the future is none."""
    folder, day = tmp_path / "pack", f"{sqlite_world.clock():%Y-%m-%d}"
    period = ("--framework", "gpai", "--out", folder)
    operator("export", "evidence", *period, "--from", day, "--to", day, by="publisher", code=1)
    operator("export", "evidence", *period, "--from", "9000-01-01", "--to", "9000-01-02", by="auditor", code=1)
    assert not folder.exists()


def test_the_proof_is_added_to_a_pack(operator: Operator, sqlite_world: World, tmp_path: Path) -> None:
    """`prove` writes it where it is missing; until then `verify` cannot tell, exit code 3."""
    folder, day = tmp_path / "pack", f"{sqlite_world.clock():%Y-%m-%d}"
    operator("export", "evidence", "--framework", "gpai", "--from", day, "--to", day, "--out", folder, by="admin")
    for name in ("export.proof", "export.consistency"):
        (folder / name).unlink()
    assert "export prove" in operator("export", "verify", folder, code=3).out
    assert operator("export", "prove", folder, "--json").body == {"proven": True}
    operator("export", "verify", folder)
