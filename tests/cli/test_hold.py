"""`hold`: lay, lift."""

import pytest

from tests.cli.operator import Operator
from tests.world import World


@pytest.mark.parametrize("on", ["gpt-2/774M", "gpt-2", "everything"])
def test_a_hold_stops_the_next_request_until_it_is_lifted(operator: Operator, sqlite_world: World, on: str) -> None:
    """A hold at each height stops issuing; lifting it lets issuing go on."""
    order = {"stage": "gpt-2/774M"}
    assert "for up to 300 seconds" in operator("hold", "place", on, "--reason", "A finding.", by="admin").out
    assert sqlite_world.api("POST", "/downloads", json=order).json["code"] == "stage_held"
    operator("hold", "lift", on, by="admin")
    assert sqlite_world.api("POST", "/downloads", json=order).status_code == 201


def test_a_hold_on_nothing_is_refused(operator: Operator) -> None:
    """A misspelled stage is not silently held: the operator must know that nothing is stopped."""
    assert (
        "There is no stage gpt-2/775M"
        in operator("hold", "place", "gpt-2/775M", "--reason", "x", by="admin", code=1).line
    )
