"""A client of the cluster: it knows the one address behind nginx, and sees afterwards which machine answered."""

import re
import time
from typing import Any

import pyotp
import requests

from tests.cluster.cluster import Cluster

_CSRF = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')
CODE_SECONDS = 35  # a one-time code that was used is followed by another one
TURNS = 20  # requests after which the asked machine must have had its turn
SECONDS = 30


class Visitor:
    """One client: a token or a browser's cookies. Its requests go through nginx, which gives machines turns."""

    def __init__(self, cluster: Cluster, token: str | None = None) -> None:
        self.cluster, self.token = cluster, token
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(cluster.front.authorities)

    def ask(self, machine: int, method: str, path: str, **more: Any) -> requests.Response:
        """Send one request that the given machine (1 or 2) answers; the turns before it are taken by others."""
        for _ in range(TURNS):
            self._turn_to(machine)
            answer = self._send(method, path, **more)
            if self.machine_of(answer) == machine:
                return answer
            if method not in {"GET", "HEAD"}:
                raise AssertionError(f"{method} {path} was answered by another machine than {machine}")
        raise AssertionError(f"machine {machine} never had its turn")

    def machine_of(self, answer: requests.Response) -> int:
        """Which machine answered."""
        address = self.cluster.front.served_by(answer.headers["X-Request-Id"])
        return [one.address for one in self.cluster.machines].index(address) + 1

    def post(self, machine: int, path: str, fields: dict[str, Any], page: str | None = None) -> requests.Response:
        """Send a form of a page, with the page's own token; the page comes from the other machine."""
        form = self.ask(3 - machine, "GET", page or path)
        found = _CSRF.search(form.text)
        assert found is not None, f"{page or path}: {form.status_code} has no form"
        hidden = dict(re.findall(r'name="(made_with)"[^>]* value="([^"]+)"', form.text))
        data = {**hidden, **fields, "csrf_token": found[1]}
        return self.ask(machine, "POST", path, data=data)

    def sign_in(self, email: str, password: str, totp_secret: str) -> None:
        """The password on the first machine, the second factor on the second."""
        begun = self.post(1, "/sign-in", {"email": email, "password": password})
        assert begun.status_code in {302, 303}, f"the password was refused: {begun.status_code}"
        deadline = time.monotonic() + CODE_SECONDS
        while True:
            code = pyotp.TOTP(totp_secret).now()
            done = self.post(2, "/sign-in/second-factor", {"code": code})
            if done.status_code in {302, 303}:
                return
            assert time.monotonic() < deadline, f"the code was refused: {done.status_code}"
            while pyotp.TOTP(totp_secret).now() == code:
                time.sleep(0.5)

    def _turn_to(self, machine: int) -> None:
        last = self._send("GET", "/healthz")
        if self.machine_of(last) == machine:
            self._send("GET", "/healthz")

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = dict(more.pop("headers", {}))
        # nginx counts whoever has neither token nor session by address, and slowly.
        headers.setdefault("Authorization", f"Bearer {self.token or self.cluster.known['tokens']['cleared']}")
        if path.startswith(("/sign-in", "/device", "/tokens", "/account")) or path == "/":
            del headers["Authorization"]
            headers.setdefault("Accept", "text/html")
        url = self.cluster.front.url + path
        return self.session.request(method, url, headers=headers, timeout=SECONDS, allow_redirects=False, **more)
