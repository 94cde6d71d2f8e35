"""F8 on the cluster: what proves something, changed 10,000 times and replayed, through nginx: nothing is accepted.

Each row of TRIED is one sort of proof. The right one is accepted before its changed ones are tried, and where it works
more than once, afterwards, too. What a server may read as the right one, since it says the same, is left out.
"""

import base64
import binascii
import contextlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode, urlsplit

import pyotp
import pytest
import redis
import requests
from sqlalchemy import select

from server.domain.callers import Caller
from server.domain.identity import device_logins, people, sessions, tokens
from server.domain.identity.people import Person
from server.domain.permissions import Scope
from server.domain.resources import Resources
from server.storage.signing import StoredObject
from tests.cluster.cluster import Cluster
from tests.cluster.raw_requests import Written, pieces, sources, to_nginx
from tests.cluster.test_faults import issue
from tests.cluster.test_fuzzed_requests import FAILED, OLD, Sent, Told, ask
from tests.cluster.test_tampering import until
from tests.faults.mutations import KINDS, Mutated, mutated

SEED = 1811
THREADS, SOURCES = 12, 200
FORGET_EVERY = 8  # tries, after which the limits are forgotten: they would refuse what is to be looked at
REPLAYS = 10
STALE = timedelta(minutes=10)
_CSRF = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')

pytestmark = pytest.mark.fault


@dataclass
class Proof:
    """One sort of proof. send: makes a request of a text; accepted: whether an answer takes it for right.

    other: of the same sort, somebody else's. same: whether a changed text says what the right one does.
    """

    name: str
    count: int
    right: str
    other: str
    send: Callable[[str], bytes]
    accepted: Callable[[Told], bool]
    same: Callable[[str], bool]
    port: int | None = None
    limited: bool = False
    works_again: bool = True
    fresh: Callable[[], str] | None = None  # where what is right changes with time


@dataclass
class Setting:
    """People with their sessions and forms, and what they hold."""

    cluster: Cluster
    use: Resources
    accepted: list[str] = field(default_factory=list)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(SEED)  # noqa: S311  # to be repeated, not to be secret
        self.tokens: dict[str, str] = self.cluster.known["tokens"]
        self.limits = redis.Redis.from_url(self.cluster.redis.url)
        self._addresses = sources(SOURCES)

    def caller(self, name: str) -> Caller:
        person = self.cluster.known["people"][name]
        return people.sign_in_for_command(self.use, person["email"], person["password"])

    def session(self, name: str, ago: timedelta = timedelta(0), proved: timedelta = timedelta(0)) -> str:
        """A session's secret. ago: when it began; proved: how long before now the person last proved themselves."""
        email, at = self.cluster.known["people"][name]["email"], self.use.clock()
        with self.use.database.transaction() as session:
            person = session.scalars(select(Person.id).where(Person.email == email)).one()
            stranger = Caller(via="anonymous", address="127.0.0.1", user_agent="tests")
            return sessions.begin(session, stranger, person, "totp", at - ago, proved_at=at - max(ago, proved))

    def form(self, secret: str) -> tuple[str, str]:
        """A page's CSRF token and the cookies that go with it."""
        with requests.Session() as browser:
            browser.trust_env, browser.verify = False, str(self.cluster.front.authorities)
            headers = {"Cookie": f"__Host-session={secret}", "Accept": "text/html"}
            page = browser.get(f"{self.cluster.front.url}/account", headers=headers, timeout=30)
            found = _CSRF.search(page.text)
            assert found is not None, page.status_code
            kept = [f"{name}={value}" for name, value in browser.cookies.items()]
            return found[1], "; ".join([f"__Host-session={secret}", *kept])

    def told(self, proof: Proof, text: str, address: str | None = None) -> Told:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(to_nginx(self.cluster, address or next(self._addresses), proof.port))
            return ask(connection, Sent(proof.send(text), set(), hurt=False))

    def forget_limits(self) -> None:
        self.limits.flushall()

    def try_all(self, proof: Proof) -> None:
        """Send the right one, all changed ones, and the right one again."""
        if proof.works_again:
            assert proof.accepted(self.told(proof, proof.right)), proof.name
        texts = [
            one for one in mutated(proof.right, proof.other, self.chance, proof.count * 2) if not proof.same(one.text)
        ]
        texts = texts[: proof.count]
        assert len(texts) == proof.count, proof.name
        step = FORGET_EVERY if proof.limited else len(texts)
        for start in range(0, len(texts), step):
            if proof.limited:
                self.forget_limits()
            with ThreadPoolExecutor(THREADS) as threads:
                list(threads.map(lambda one: self._try(proof, one, next(self._addresses)), texts[start : start + step]))
        self.forget_limits()
        if proof.fresh is None:
            assert proof.accepted(self.told(proof, proof.right)), proof.name
        else:
            until(lambda: self._takes_fresh(proof))  # the newest code may have been used by somebody before us

    def replay(self, name: str, proof: Proof, text: str) -> None:
        """Send what was right once, or is right for somebody else."""
        for _ in range(REPLAYS):
            self._try(replace(proof, name=name), Mutated("replayed", text), next(self._addresses))
            if proof.limited:
                self.forget_limits()

    def _takes_fresh(self, proof: Proof) -> bool:
        assert proof.fresh is not None
        proof.right = proof.fresh()
        self.forget_limits()
        return proof.accepted(self.told(proof, proof.right))

    def _try(self, proof: Proof, one: Mutated, address: str) -> None:
        told = self.told(proof, one.text, address)
        self.answers[proof.name, told.status] += 1
        # SeaweedFS hangs up where the credential's date is none, and its proxy says 502; nothing of ours may fail.
        if told.status in FAILED and not (proof.port is not None and told.status == 502):
            self.accepted.append(f"{proof.name}, {one.kind}: status {told.status}: {one.text!r}")
        if told.status == OLD or proof.accepted(told):
            self.accepted.append(f"{proof.name}, {one.kind}: accepted with {told.status}: {one.text!r}")


@pytest.fixture
def setting(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(cluster.front.authorities))
    with cluster.resources() as use:
        made = Setting(cluster, use)
        yield made
        made.forget_limits()  # of whoever comes next
        made.limits.close()


def head(first: str, *lines: str) -> bytes:
    text = "\r\n".join([first, "Host: localhost", "Accept: text/html", "Connection: close", *lines, "", ""])
    return text.encode("utf-8", "surrogateescape")


def posted(path: str, cookies: str, **fields: str) -> bytes:
    body = urlencode(fields).encode()
    lines = ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
    return head(f"POST {path} HTTP/1.1", *lines, *([f"Cookie: {cookies}"] if cookies else [])) + body


def token(there: Setting) -> Proof:
    right = there.tokens["cleared"]
    return Proof(
        "token", 2500, right, there.tokens["admin"],
        lambda text: head("GET /api/v1/me HTTP/1.1", f"Authorization: Bearer {text}"),
        lambda told: told.status == 200, lambda text: text.strip() in {right, there.tokens["admin"]},
    )  # fmt: skip


def session_cookie(there: Setting) -> Proof:
    right = there.session("cleared")
    return Proof(
        "session cookie", 1500, right, there.session("admin"),
        lambda text: head("GET /account HTTP/1.1", f"Cookie: __Host-session={text}"),
        lambda told: told.status == 200,
        lambda text: text.partition(";")[0].strip().strip('"') == right or f"__Host-session={right}" in text,
    )  # fmt: skip


def csrf_token(there: Setting) -> Proof:
    right, cookies = there.form(there.session("cleared"))
    other, _ = there.form(there.session("admin"))
    return Proof(
        "CSRF token", 1500, right, other,
        lambda text: posted("/appearance", cookies, csrf_token=text, appearance="dark"),
        lambda told: told.status in {302, 303}, lambda text: signed(text) == signed(right),
    )  # fmt: skip


def signed(text: str) -> Any:
    """What a signed text says: its signature is in base64, of which some letters say the same, and others nothing."""
    content, _, signature = text.rpartition(".")
    try:
        return content, base64.urlsafe_b64decode(signature.encode() + b"=" * (-len(signature) % 4))
    except (binascii.Error, ValueError):
        return text


def one_time_code(there: Setting) -> Proof:
    person = there.cluster.known["people"]["auditor"]
    csrf, cookies = there.form(there.session("auditor", proved=STALE))
    made, other = pyotp.TOTP(person["totp_secret"]), there.cluster.known["people"]["admin2"]["totp_secret"]
    return Proof(
        "one-time code", 500, made.now(), pyotp.TOTP(other).now(),
        lambda text: posted("/account/confirm", cookies, csrf_token=csrf, proof_code=text, next="/account/totp"),
        lambda told: told.status in {302, 303},
        lambda text: "".join(text.split()) in codes_around(made), limited=True, works_again=False, fresh=made.now,
    )  # fmt: skip


def codes_around(made: pyotp.TOTP) -> set[str]:
    """All that are right now, or will be in the next minutes."""
    now = datetime.now(UTC)
    return {made.at(now, counter_offset=step) for step in range(-2, 12)}


def device_code(there: Setting) -> Proof:
    begun, other = begin_device_login(there), begin_device_login(there)
    device_logins.approve(
        there.use, there.caller("cleared"), begun.user_code, "a device", [Scope.STAGES_READ], timedelta(days=1)
    )
    return Proof(
        "device code", 1000, begun.device_code, other.device_code, ask_for_token,
        lambda told: told.status == 200, lambda text: text == begun.device_code, works_again=False,
    )  # fmt: skip


def ask_for_token(text: str) -> bytes:
    return posted(
        "/api/v1/device-logins/token", "", device_code=text, grant_type="urn:ietf:params:oauth:grant-type:device_code"
    )


def begin_device_login(there: Setting) -> device_logins.Begun:
    stranger = Caller(via="anonymous", address="127.0.0.1", user_agent="tests")
    return device_logins.begin(there.use, stranger, "a device", [Scope.STAGES_READ])


def user_code(there: Setting) -> Proof:
    right, other = begin_device_login(there).user_code, "BCDF-GHJK"
    csrf, cookies = there.form(there.session("cleared"))
    return Proof(
        "user code", 500, right, other,
        lambda text: posted("/device", cookies, csrf_token=csrf, user_code=text),
        lambda told: told.status in {302, 303},
        lambda text: re.sub(r"[\s-]", "", text).upper() == right.replace("-", ""), limited=True,
    )  # fmt: skip


def signed_url(there: Setting) -> Proof:
    url, other = (issue(there.cluster).json()["files"][0]["url"] for _ in range(2))
    right, theirs = (one.partition(there.cluster.front.store_url)[2] for one in (url, other))
    whole = {meaning(right), meaning(theirs)}
    return Proof(
        "signed URL", 2500, right, theirs, from_store(there),
        lambda told: told.status in {200, 206, 304}, lambda text: meaning(text) in whole,
        port=there.cluster.front.store_https,
    )  # fmt: skip


def from_store(there: Setting) -> Callable[[str], bytes]:
    host = urlsplit(there.cluster.front.store_url).netloc
    return lambda text: f"GET {text} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(
        "utf-8", "surrogateescape"
    )


def meaning(target: str) -> Any:
    """What a target says to S3: an octet in percent form or as it is, and parameters in any order."""
    path, _, query = target.partition("#")[0].partition("?")
    return unquote_to_bytes(path), tuple(sorted(parse_qsl(query, keep_blank_values=True)))


TRIED = (token, session_cookie, csrf_token, one_time_code, device_code, user_code, signed_url)


def test_nothing_that_was_changed_or_replayed_is_accepted(setting: Setting) -> None:
    """10,000 changed ones of seven sorts, and each sort after its end, after its use and from somebody else."""
    written = Written(setting.cluster)
    proofs = dict[str, Proof]()
    for make in TRIED:
        proofs[make.__name__] = make(setting)
        setting.try_all(proofs[make.__name__])
    tried = sum(setting.answers.values())
    replay(setting, proofs)
    by_name: dict[str, dict[int, int]] = {}
    for (name, status), count in sorted(setting.answers.items()):
        by_name.setdefault(name, {})[status] = count
    print(f"{tried} changed in {len(KINDS)} ways: {by_name}")
    assert setting.accepted == []
    assert tried == 10_000
    assert not [name for name, status in setting.answers if status == 429]  # a limit says nothing of what was tried
    text = written.text()
    secrets = [proofs[name].right for name in ("session_cookie", "device_code")] + [setting.tokens["cleared"][17:60]]
    assert [piece for secret in secrets for piece in pieces(secret) if piece in text] == []


def replay(there: Setting, proofs: dict[str, Proof]) -> None:
    """What was right once."""
    owner = there.caller("cleared")
    made = tokens.create(there.use, owner, "to be revoked", [Scope.STAGES_READ], timedelta(days=1))
    assert there.told(proofs["token"], made.text).status == 200
    tokens.revoke(there.use, owner, made.token.public_id)
    there.replay("token, revoked", proofs["token"], made.text)
    there.replay("token, expired", proofs["token"], there.tokens["expired"])

    cookie = proofs["session_cookie"]
    ended = there.session("cleared")
    csrf, cookies = there.form(ended)
    signing_out = replace(cookie, send=lambda text: posted("/sign-out", cookies, csrf_token=text))
    assert there.told(signing_out, csrf).status in {302, 303}
    there.replay("session, signed out", cookie, ended)
    there.replay("session, idle", cookie, there.session("cleared", ago=timedelta(minutes=31)))

    form = proofs["csrf_token"]
    there.replay("CSRF token, another person's", form, form.other)
    there.replay("CSRF token, of another session of theirs", form, there.form(there.session("cleared"))[0])

    code = proofs["one_time_code"]
    there.replay("one-time code, used", stale(there, "auditor"), code.right)
    before = pyotp.TOTP(there.cluster.known["people"]["auditor"]["totp_secret"]).at(
        datetime.now(UTC), counter_offset=-3
    )
    there.replay("one-time code, of before", stale(there, "auditor"), before)
    theirs = pyotp.TOTP(there.cluster.known["people"]["admin2"]["totp_secret"]).now()
    there.replay("one-time code, another person's", stale(there, "auditor"), theirs)

    there.replay("device code, used", proofs["device_code"], proofs["device_code"].right)
    there.replay("device code, not approved", proofs["device_code"], proofs["device_code"].other)
    used = begin_device_login(there)
    device_logins.deny(there.use, owner, used.user_code)
    there.replay("user code, decided", proofs["user_code"], used.user_code)

    url = proofs["signed_url"]
    key = unquote_to_bytes(urlsplit(url.right).path).decode().partition("/weights/")[2]
    past = there.use.clock() - timedelta(minutes=10)
    (expired,) = there.use.store_signer.sign(
        [StoredObject(key)], download_id="0" * 36, lifetime_seconds=300, moment=past
    )
    there.replay("signed URL, expired", url, expired.partition(there.cluster.front.store_url)[2])


def stale(there: Setting, name: str) -> Proof:
    """A one-time code for somebody whose proof is too old."""
    csrf, cookies = there.form(there.session(name, proved=STALE))
    return replace(
        one_time_code(there),
        send=lambda text: posted("/account/confirm", cookies, csrf_token=csrf, proof_code=text, next="/account/totp"),
    )
