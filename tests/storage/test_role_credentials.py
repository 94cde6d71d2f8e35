"""Role credentials: asked for as the machine's own, renewed before they end, and nothing signed outlives them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.storage import role_credentials
from server.storage.keys import S3Credentials
from server.storage.outside import OutsideFault
from server.storage.role_credentials import Lent, RoleCredentials, RoleUnavailable
from server.storage.signing import StoredObject
from server.storage.signing_role import RoleSigner
from server.storage.signing_s3 import S3Signer
from tests.lending import IDENTITY, Lender, lending

FIRST = S3Credentials("ASIAFIRST", "a secret", "a session/token==")
SECOND = S3Credentials("ASIASECOND", "another", "another token")
NOON = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)
VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_DISABLED",
)  # fmt: skip


@pytest.fixture
def lender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lender]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    with lending(FIRST) as made:
        yield made


@pytest.mark.parametrize("way", ["instance", "container"])
def test_the_machines_role_is_used(lender: Lender, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the moment at which it ends; what whoever started the server has in variables is not."""
    for name, value in getattr(lender, way).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOPERATOR")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "an operator's")
    lent = role_credentials.load("eu-central-1")
    assert lent.credentials == FIRST
    assert abs(lent.expires_at - datetime.now(UTC) - timedelta(hours=6)) < timedelta(seconds=30)


def test_a_web_identity_is_exchanged(lender: Lender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes hands it to a service account: a file, and the role that it stands for."""
    (tmp_path / "token").write_text(IDENTITY)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/signer")
    assert role_credentials.load("eu-central-1", lender.url).credentials == FIRST
    (tmp_path / "token").write_text("another.web.identity")
    with pytest.raises(RoleUnavailable, match="could not be had"):
        role_credentials.load("eu-central-1", lender.url)


def test_an_instance_is_asked_by_the_second_version_alone(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one answers whoever can make the machine send a request."""
    monkeypatch.setattr(role_credentials, "ATTEMPTS", 1)
    lender.is_first_version = True
    for name, value in lender.instance.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RoleUnavailable, match=r"could not be had|has no role"):
        role_credentials.load("eu-central-1")
    assert lender.asked == 0


@pytest.mark.parametrize("way", ["instance", "container"])
def test_a_service_that_lends_nothing_stops_the_start(
    lender: Lender, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says what to look at; never a secret."""
    monkeypatch.setattr(role_credentials, "ATTEMPTS", 1)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    for name, value in getattr(lender, way).items():
        monkeypatch.setenv(name, value)
    lender.is_away = True
    with pytest.raises(RoleUnavailable, match=r"could not be had|has no role"):
        RoleCredentials(lambda: role_credentials.load("eu-central-1"), lambda: NOON)


class Machine:
    """A role whose lender and clock a test has in its hands."""

    def __init__(self, lives: timedelta) -> None:
        self.now, self.is_away = NOON, False
        self.next = Lent(FIRST, NOON + lives)
        self.role = RoleCredentials(self.load, lambda: self.now)
        self.signer = RoleSigner(self.role, self.signer_with, lambda: self.now)

    def load(self) -> Lent:
        if self.is_away:
            raise RoleUnavailable("away")
        return self.next

    def signer_with(self, credentials: S3Credentials) -> S3Signer:
        return S3Signer(
            endpoint_url=None, region="eu-central-1", bucket="weights", addressing="virtual", credentials=credentials,
            clock=lambda: self.now,
        )  # fmt: skip

    def sign(self, lifetime_seconds: int) -> str:
        (url,) = self.signer.sign([StoredObject("x")], download_id="d", lifetime_seconds=lifetime_seconds)
        return url


def test_urls_end_before_their_credentials_do() -> None:
    """A minute and what deciding takes; below two minutes nothing is issued, and the reason is told."""
    machine = Machine(timedelta(minutes=10))
    assert machine.role.longest(300) == 300
    assert machine.role.longest(900) == 525
    assert "&X-Amz-Security-Token=a%20session%2Ftoken%3D%3D&" in machine.sign(540)
    with pytest.raises(OutsideFault, match="end before the URL would"):
        machine.sign(541)
    machine.now = NOON + timedelta(minutes=8)
    assert machine.role.longest(300) == 45
    machine.now += timedelta(seconds=1)
    with pytest.raises(OutsideFault, match=r"end in 119 s and could not be renewed"):
        machine.role.longest(300)


def test_they_are_renewed_before_they_end() -> None:
    """A quarter of an hour before, in the background; the next URL is signed with the new ones."""
    machine = Machine(timedelta(hours=1))
    machine.next = Lent(SECOND, NOON + timedelta(hours=2))
    machine.now = NOON + timedelta(minutes=44)
    machine.role.renew()
    assert "ASIAFIRST" in machine.sign(60)
    machine.now = NOON + timedelta(minutes=45)
    machine.role.renew()
    assert "ASIASECOND" in machine.sign(60)
    assert machine.role.longest(900) == 900


def test_a_lender_that_is_away_changes_nothing_yet() -> None:
    """What was lent works to its end, and it is asked again."""
    machine = Machine(timedelta(minutes=10))
    machine.is_away = True
    machine.role.renew()
    assert "ASIAFIRST" in machine.sign(60)
    machine.is_away, machine.next = False, Lent(SECOND, NOON + timedelta(hours=1))
    machine.role.renew()
    assert "ASIASECOND" in machine.sign(60)
    assert "secret" not in f"{machine.role.lent()}"
