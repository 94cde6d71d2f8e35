"""`weightgate login` where the way to a token is long: too many questions, nobody who comes, a network that is away."""

from datetime import timedelta

import pytest
from weightgate import device
from weightgate.http import Server
from weightgate.verdicts import CannotTell, Refused

from server.domain.identity import device_logins
from server.domain.permissions import Scope
from tests.e2e.partner import Partner

MONTH = timedelta(days=30)
INTERVAL, SLOWER = device_logins.INTERVAL_SECONDS, 5


def test_a_program_that_asks_too_often_slows_down_and_gets_there(partner: Partner) -> None:
    """Whose clock runs fast is told so, waits longer each time, and has its token in the end."""
    world, waited = partner.world, list[float]()

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            owner = world.person("cleared")
            device_logins.approve(world.use, owner, login.user_code, "node-7", {Scope.STAGES_READ}, MONTH)
        if len(waited) >= 3:
            world.clock.advance(timedelta(seconds=seconds))

    server = Server(partner.endpoint)
    login = device.begin(server)
    assert device.fetch(server, login, pause).startswith("wgk_")
    assert waited[:3] == [INTERVAL, INTERVAL, INTERVAL + SLOWER]


def test_nobody_came(partner: Partner) -> None:
    """The code ends, and so does the command."""
    server = Server(partner.endpoint)
    login = device.begin(server)
    with pytest.raises(Refused) as ended:
        device.fetch(server, login, lambda _: partner.world.clock.advance(device_logins.LIFETIME))
    assert ended.value.verdict.code == "expired_token"


def test_a_server_that_is_away_is_waited_for_and_not_for_ever(partner: Partner) -> None:
    """As long as the code would have been good for; a login that cannot even begin says so at once."""
    waited, gone = list[float](), Server("http://127.0.0.1:9")
    login = device.begin(Server(partner.endpoint))
    with pytest.raises(CannotTell):
        device.begin(gone)
    with pytest.raises(Refused) as ended:
        device.fetch(gone, login, waited.append)
    assert ended.value.verdict.code == "expired_token"
    assert login.lifetime_seconds <= sum(waited) < 2 * login.lifetime_seconds
