"""The table of faults names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_fault_has_a_row_with_tests_that_exist() -> None:
    """F1 to F12, each with a short version and a full one."""
    rows = [line.split(" | ") for line in TABLE.splitlines() if line.startswith("| F")]
    assert [row[0].removeprefix("| ") for row in rows] == [f"F{number}" for number in range(1, 13)]
    for row in rows:
        assert all("`tests/" in cell for cell in row[2:4]), row[0]
    for path, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TABLE):
        assert f"def {test}" in (ROOT / path).read_text(encoding="utf-8"), (path, test)
