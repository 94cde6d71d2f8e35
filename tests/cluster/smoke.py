"""The smoke test: what must not depend on which machine answers, tried through nginx. Each step is one sentence."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import requests
from sqlalchemy import select

from server.log.entries import LogEntry
from tests.cluster.cluster import Cluster
from tests.cluster.publishing import README, STAGE, publish
from tests.cluster.visitor import Visitor

TOKEN = re.compile(r"wgk_[A-Za-z0-9_-]+")
SEALED_WITHIN_SECONDS = 60  # with a worker that has to start first, on a busy machine
TRIES = 10  # with a wrong password, from one network, for one account


def run(cluster: Cluster, say: Callable[[str], object] = print) -> None:
    """Run every step; raises AssertionError with what was wrong."""
    here = Smoke(cluster)
    for step in STEPS:
        begun = time.monotonic()
        step(here)
        say(f"ok  {time.monotonic() - begun:5.1f} s  {step.__doc__}")


class Smoke:
    """What one step leaves for the next."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.owner = Visitor(cluster)
        self.token = ""

    def as_(self, name: str) -> Visitor:
        return Visitor(self.cluster, self.cluster.known["tokens"].get(name, name))


def tls(here: Smoke) -> None:
    """Both machines answer over TLS, with a certificate of the cluster's own CA; plain HTTP is sent there."""
    visitor = here.as_("cleared")
    assert {visitor.ask(machine, "GET", "/readyz").status_code for machine in (1, 2)} == {200}
    front = here.cluster.front
    plain = requests.get(f"http://localhost:{front.plain}/stages", allow_redirects=False, timeout=10)
    assert plain.headers["Location"] == f"{front.url}/stages"


def signing_in(here: Smoke) -> None:
    """A person signs in with the password on one machine and the code on the other, and is signed in on both."""
    owner = here.cluster.known["people"]["cleared"]
    here.owner.sign_in(owner["email"], owner["password"], owner["totp_secret"])
    for machine in (1, 2):
        page = here.owner.ask(machine, "GET", "/account")
        assert page.status_code == 200, page.status_code
        assert owner["email"] in page.text


def making_a_token(here: Smoke) -> None:
    """A token that was made on one machine works on the other."""
    wanted = {
        "name": f"smoke {secrets.token_hex(4)}", "days": "30",
        "scopes": ["stages:read", "downloads:create", "log:read"],
    }  # fmt: skip
    made = here.owner.post(1, "/tokens/new", wanted)
    found = TOKEN.search(made.text)
    assert made.status_code in {200, 201}, made.status_code
    assert found is not None, "the page shows no token"
    here.token = found[0]
    assert here.as_(here.token).ask(2, "GET", "/api/v1/me").json()["organization"] == "aurora-institute"


def downloading(here: Smoke) -> None:
    """A download that was issued on one machine is renewed on the other, and each byte of it is right."""
    visitor = here.as_(here.token)
    issued = visitor.ask(1, "POST", "/api/v1/downloads", json={"stage": STAGE}).json()
    assert _as_published(here, visitor, issued["files"]) == len(issued["files"]) > 1
    again = visitor.ask(
        2, "POST", f"/api/v1/downloads/{issued['id']}/urls", json={"paths": [issued["files"][0]["path"]]}
    )
    assert again.status_code == 201, again.text
    assert _as_published(here, visitor, again.json()["files"]) == 1


def _as_published(here: Smoke, visitor: Visitor, files: list[dict[str, str]]) -> int:
    source = Path(here.cluster.known["sources"][STAGE])
    for file in files:
        fetched = visitor.session.get(file["url"], timeout=30).content
        own = source / file["path"]  # what an earlier smoke test added is nowhere else
        assert not own.exists() or fetched == own.read_bytes(), file["path"]
        assert hashlib.sha256(fetched).hexdigest() == file["sha256"]
    return len(files)


def hub(here: Smoke) -> None:
    """The Hugging Face client's own addresses lead to the bytes, whichever machine answers."""
    visitor, source = here.as_(here.token), Path(here.cluster.known["sources"][STAGE])
    for machine in (1, 2):
        sent = visitor.ask(machine, "GET", f"/{STAGE}/resolve/main/config.json")
        if sent.status_code in {302, 307}:
            sent = visitor.session.get(sent.headers["Location"], timeout=30)
        assert sent.content == (source / "config.json").read_bytes()


def device_login(here: Smoke) -> None:
    """A program's login that began on one machine is approved on the other, and its token comes from either."""
    program = Visitor(here.cluster)
    begun = program.ask(1, "POST", "/api/v1/device-logins", data={"client_id": "smoke"}, headers=_nobody()).json()
    wishes = {"name": f"device {secrets.token_hex(4)}", "days": "30", "scopes": ["stages:read"]}
    page = f"/device/{begun['user_code']}"
    approved = here.owner.post(2, f"{page}/approve", wishes, page=page)
    assert approved.status_code in {302, 303}, approved.status_code
    asked = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]}
    token = program.ask(1, "POST", "/api/v1/device-logins/token", data=asked, headers=_nobody())
    assert token.status_code == 200, token.text
    assert here.as_(token.json()["access_token"]).ask(2, "GET", "/api/v1/me").status_code == 200


def _nobody() -> dict[str, str]:
    """For nginx alone, which counts those without a token more strictly: the server makes nothing of it."""
    return {"Authorization": "", "Cookie": "__Host-session=none"}


def limits(here: Smoke) -> None:
    """Wrong passwords are counted by both machines together: the next try is refused on either."""
    stranger, email = Visitor(here.cluster), f"nobody-{secrets.token_hex(4)}@example.org"
    for number in range(TRIES):
        tried = stranger.post(number % 2 + 1, "/sign-in", {"email": email, "password": "wrong"})
        assert tried.status_code == 422, tried.status_code
    for machine in (1, 2):
        assert stranger.post(machine, "/sign-in", {"email": email, "password": "wrong"}).status_code == 429


def revoking(here: Smoke) -> None:
    """A token that is revoked on one machine is refused by the other at once."""
    public_id = here.owner.ask(1, "GET", "/tokens")
    listed = re.findall(r'href="/tokens/([A-Za-z0-9_-]+)"', public_id.text)
    (mine,) = [one for one in listed if one in here.token]
    visitor = here.as_(here.token)
    assert visitor.ask(2, "POST", "/api/v1/downloads", json={"stage": STAGE}).status_code == 201
    revoked = here.owner.post(1, f"/tokens/{mine}/revoke", {}, page=f"/tokens/{mine}/revoke")
    assert revoked.status_code in {302, 303}, revoked.status_code
    for machine in (2, 1):
        assert visitor.ask(machine, "POST", "/api/v1/downloads", json={"stage": STAGE}).status_code == 401


def publishing(here: Smoke) -> None:
    """A checkpoint that was published on one machine, and approved on the other, is the newest on both."""
    digest = publish(here.cluster)
    visitor = here.as_("cleared")
    for machine in (1, 2):
        newest = visitor.ask(machine, "POST", "/api/v1/downloads", json={"stage": STAGE, "paths": [README]})
        (file,) = newest.json()["files"]
        assert file["sha256"] == digest, f"machine {machine} hands out an older checkpoint"


def sealing(here: Smoke) -> None:
    """Either worker alone seals the log: whichever is killed, what is issued afterwards is sealed within seconds."""
    visitor = here.as_("cleared")
    for machine in here.cluster.machines:
        machine.kill("worker")
        try:
            issued = visitor.ask(1, "POST", "/api/v1/downloads", json={"stage": STAGE}).json()["id"]
            _sealed(here, issued)
        finally:
            machine.start("worker")


def _sealed(here: Smoke, download: str) -> None:
    with here.cluster.resources() as use:
        deadline = time.monotonic() + SEALED_WITHIN_SECONDS
        while True:
            with use.database.reading() as session:
                place = session.scalar(select(LogEntry.leaf_index).where(LogEntry.subject == download))
            if place is not None:
                return
            assert time.monotonic() < deadline, f"download {download} was not sealed in {SEALED_WITHIN_SECONDS} s"
            time.sleep(0.1)


def verifying(here: Smoke) -> None:
    """Every entry is in its place in the log, and the tables agree with it; `doctor` finds nothing wrong."""
    first, second = here.cluster.machines
    for machine, command in ((first, ("log", "verify", "--tables")), (first, ("doctor",)), (second, ("doctor",))):
        done = machine.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "2 web, 2 worker, 0 publisher on 2 machines" in done.stdout


STEPS = (
    tls, signing_in, making_a_token, downloading, hub, device_login, limits, revoking, publishing, sealing, verifying,
)  # fmt: skip
