"""The story's clock, and the access log that is moved into its time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.cli.story_clock import RedatedLog, StoryClock

BEGINS_AT = datetime(2019, 1, 7, 9, 0, tzinfo=UTC)


def test_the_story_s_clock_runs_and_only_goes_on() -> None:
    """It begins where it was told to, runs, can be moved on, and never back: the log would not verify."""
    clock = StoryClock(BEGINS_AT)
    first = clock()
    assert BEGINS_AT <= first < BEGINS_AT + timedelta(minutes=1)
    assert clock() > first
    clock.go_to(BEGINS_AT + timedelta(days=90))
    assert clock() >= BEGINS_AT + timedelta(days=90)
    with pytest.raises(ValueError, match="already past"):
        clock.go_to(BEGINS_AT)


def test_access_log_lines_move_with_the_clock_they_were_written_under(tmp_path: Path) -> None:
    """Each whole line once, by what the clock was ahead then; a line without its end waits for it."""
    original, copy = tmp_path / "access.log", RedatedLog(tmp_path / "access.log", tmp_path / "copy.log")
    copy.grow(timedelta(days=-1))
    original.write_text('{"ended_at": 1000000.5, "key": "a"}\n{"ended_at": 10000')
    copy.grow(timedelta(seconds=-1000))
    with original.open("a") as stream:
        stream.write('00, "key": "b"}\n')
    copy.grow(timedelta(seconds=-500))
    lines = [json.loads(line) for line in copy.path.read_text().splitlines()]
    assert lines == [{"ended_at": 999000.5, "key": "a"}, {"ended_at": 999500, "key": "b"}]
    copy.close()
    assert original.read_bytes() == b""
