"""Scanners for weaknesses, wapiti and sqlmap: they find those of an app that has some, and none in ours."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from sqlalchemy import select

from server.domain.identity import sessions
from server.domain.identity.people import Person
from server.storage.embedded import free_port
from tests import prepare
from tests.e2e.serving import Served, served
from tests.e2e.working import working
from tests.parts import missing
from tests.visits import FROM
from tests.world import World

START_SECONDS, END_SECONDS = 60, 900
CRAWL_SECONDS, ATTACK_SECONDS = 40, 15  # the latter for each of the modules
# Not xxe and ssrf: they have the server fetch something of wapiti's own makers, and ask there whether it did.
MODULES = "sql,timesql,xss,permanentxss,exec,file,redirect,crlf,csrf,csp,cookieflags,http_headers"
VULNERABLE = Path(__file__).parent / "scanners" / "vulnerable.py"
INJECTED = "identified the following injection point"
# Addresses with parameters, as each of them may ask.
PARAMETERS = {
    "stranger": ("/releases?model=gpt-2", "/api/models?search=gpt&author=gpt-2", "/sign-in?next=%2Freleases"),
    "partner": (
        "/api/v1/log/entries?organization=aurora-institute&stage=gpt-2/774M&kind=download", "/api/v1/downloads?limit=5",
        "/audit/log?kind=download&person=owner%40aurora-institute.example",
    ),
    "admin": (
        "/api/v1/log/entries?organization=aurora-institute&stage=gpt-2/774M&kind=download",
        "/admin/clearances?state=active&organization=aurora-institute", "/admin/people?role=owner&organization=1",
    ),
}  # fmt: skip
NAMES = {"partner": "cleared", "admin": "admin"}
TRIES_AT_LEAST = 30  # requests with which sqlmap tries an address; it takes more than that for one parameter
PAGES_AT_LEAST = {"stranger": 15, "partner": 20, "admin": 30}  # routes that answered with a page
# Whoever ends their own session while looking for weaknesses sees a stranger's pages from then on.
ENDINGS = ("/sign-out", "/account/sessions/*", "/account/password")
# What wapiti reports and is none, by the beginning of its sentence.
NONE = {
    "X-Frame-Options is not set": "no page can be framed: Content-Security-Policy has frame-ancestors 'none', "
    "which browsers follow in place of that header (CSP Level 3, section 6.4.2.2)",
    "Secure flag is not set in the cookie": "this server runs on http://localhost; where `public_url` is https, "
    "cookies are Secure and called __Host-… (tests/web/portal)",
}

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def scanner() -> dict[str, str]:
    """Their programs by their names."""
    try:
        prepare.scanners()
    except (subprocess.CalledProcessError, OSError):
        missing("wapiti and sqlmap")
    return {name: str(folder / "bin" / name) for name, folder in prepare.SCANNERS.items()}


@pytest.fixture(scope="module")
def vulnerable() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(VULNERABLE), str(port)], stderr=subprocess.DEVNULL)
    try:
        url, deadline = f"http://localhost:{port}", time.monotonic() + START_SECONDS
        while True:
            try:
                requests.get(url, timeout=5)
                break
            except requests.RequestException:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def ours(sqlite_world: World) -> Iterator[tuple[World, Served]]:
    with served(sqlite_world, access_lines=True) as web, working(sqlite_world):
        yield sqlite_world, web


def run(command: list[str], folder: Path) -> str:
    """Run a scanner, which writes into the folder alone; returns what it said."""
    here = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=END_SECONDS, check=False, cwd=folder, env=here
    )
    return done.stdout + done.stderr


def wapiti(program: str, folder: Path, url: str, *more: str) -> dict[str, list[dict[str, Any]]]:
    """Crawl and attack from a page on; returns what was found, by kind."""
    report = folder / "wapiti.json"
    command = [program, "-u", f"{url}/", "-m", MODULES, "--scope", "domain", "-d", "4", "-f", "json", "-o", str(report)]
    command += ["--max-files-per-dir", "10"]  # the log's entries have a page each
    command += ["--max-scan-time", str(CRAWL_SECONDS), "--max-attack-time", str(ATTACK_SECONDS), "--no-bugreport"]
    command += ["--flush-session", "--store-session", str(folder), "--store-config", str(folder), *more]
    said = run(command, folder)
    assert report.exists(), said[-1000:]
    told = json.loads(report.read_text(encoding="utf-8"))
    print(f"wapiti crawled {told['infos'].get('crawled_pages_nbr')} pages of {url}")
    return {kind: found for kind, found in told["vulnerabilities"].items() if found}


def cookie_file(folder: Path, secret: str) -> str:
    """A browser's session, as wapiti reads it: beside it, it keeps the cookies that it is given."""
    cookie = {"value": secret, "expires": None, "secure": False, "port": None, "version": 0}
    path = folder / "cookies.json"
    path.write_text(json.dumps({".localhost.local": {"/": {"weightgate-session": cookie}}}), encoding="utf-8")
    return str(path)


def sqlmap(program: str, folder: Path, url: str, headers: dict[str, str]) -> str:
    """What sqlmap says of the parameters of an address, which answers when nothing is wrong with them."""
    assert requests.get(url, headers=headers, timeout=30, allow_redirects=False).status_code == 200, url
    command = [program, "-u", url, "--batch", "--output-dir", str(folder), "--disable-coloring", "--flush-session"]
    for name, value in headers.items():
        command += ["-H", f"{name}: {value}"]
    said = run(command, folder)
    assert "testing if the target URL content is stable" in said, said[-1000:]
    return said


def session_of(world: World, name: str) -> str:
    email = world.example.people[name]["email"]
    with world.use.database.transaction() as session:
        person = session.scalars(select(Person).where(Person.email == email)).one()
        return sessions.begin(session, FROM, person.id, "totp", world.use.clock())


def access_lines(world: World) -> list[dict[str, Any]]:
    text = (world.folder / "web.log").read_text(encoding="utf-8", errors="replace")
    found = [orjson.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == "request"]


def test_scanners_find_what_is_there(scanner: dict[str, str], vulnerable: str, tmp_path: Path) -> None:
    """Or finding nothing in ours would say nothing."""
    found = wapiti(scanner["wapiti"], tmp_path, vulnerable)
    print({kind: len(some) for kind, some in found.items()})
    assert {"SQL Injection", "Reflected Cross Site Scripting", "Path Traversal", "Open Redirect"} <= found.keys()
    assert INJECTED in sqlmap(scanner["sqlmap"], tmp_path, f"{vulnerable}/find?number=1", {})


@pytest.mark.parametrize("who", PARAMETERS)
def test_scanners_find_nothing_in_ours(
    ours: tuple[World, Served], scanner: dict[str, str], tmp_path: Path, who: str
) -> None:
    """A stranger, a partner's owner and an admin; pages with a session, the API with a token."""
    world, web = ours
    url, name = f"http://localhost:{web.port}", NAMES.get(who)
    more = [word for ending in ENDINGS for word in ("-x", f"{url}{ending}")]
    by_session: dict[str, str] = {}
    if name is not None:
        secret = session_of(world, name)
        more += ["-c", cookie_file(tmp_path, secret)]
        by_session = {"Cookie": f"weightgate-session={secret}"}
    for address in PARAMETERS[who]:  # first, for wapiti finds the buttons that revoke tokens
        by_token = name is not None and address.startswith("/api/")
        headers = {"Authorization": f"Bearer {world.example.tokens[name or '']}"} if by_token else by_session
        before = len(access_lines(world))
        assert INJECTED not in sqlmap(scanner["sqlmap"], tmp_path, url + address, headers), address
        lines = access_lines(world)[before:]
        print(f"{address}: {len(lines)} requests, {dict(Counter(line['status'] for line in lines))}")
        assert len(lines) > TRIES_AT_LEAST
        assert name is None or all("token" in line or "person" in line for line in lines)
    before = len(access_lines(world))
    found = wapiti(scanner["wapiti"], tmp_path, url, *more)
    lines = access_lines(world)[before:]
    signed_in = [line for line in lines if name is None or "person" in line]
    pages = {line["route"] for line in signed_in if line["status"] == 200}
    sent = {line["route"] for line in signed_in if line["method"] == "POST" and line["status"] != 400}
    statuses = Counter(line["status"] for line in lines)
    print(
        f"{who}: {len(lines)} requests ({len(signed_in)} signed in), {len(pages)} pages, {len(sent)} forms, {statuses}"
    )
    assert len(pages) >= PAGES_AT_LEAST[who], sorted(pages)
    assert len(signed_in) > len(lines) / 2
    assert signed_in[-1] in lines[-50:]  # up to the end
    sentences = [f"{kind}: {one['info']}" for kind, some in found.items() for one in some]
    assert [one for one in sentences if not any(f": {none}" in one for none in NONE)] == []
    assert [line for line in access_lines(world) if line["status"] >= 500] == []
    assert "Traceback" not in (world.folder / "web.log").read_text(encoding="utf-8", errors="replace")
