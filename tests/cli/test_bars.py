"""Bars: what is shown of a long command."""

import pytest

from server.cli.bars import Bars


def test_bars_show_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """One bar for each thing, set or advanced; none where nobody watches."""
    with Bars(quiet=True) as bars:
        bars.set("bytes", 1, 10)
        bars.set("bytes", 4, 10)
        bars.advance_named("reading", 5, 0)
        bars.advance_named("reading", 5, 0)
        assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
            ("bytes", 4, 10),
            ("reading", 10, None),
        ]
    assert capsys.readouterr().err == ""
