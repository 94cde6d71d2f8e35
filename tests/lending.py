"""A stand-in for the services by which AWS lends a machine its role's credentials: the instance's (IMDSv2 alone) and
the container's. Source: EC2 User Guide, "Use IMDS"; ECS Developer Guide, "Task IAM role".
"""

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from server.storage.keys import S3Credentials

ROLE = "weightgate-signer"
BEARER = "a-container-s-own-token"
IDENTITY = "a.web.identity"
IN_XML = {
    "AccessKeyId": "AccessKeyId", "SecretAccessKey": "SecretAccessKey", "SessionToken": "Token",
    "Expiration": "Expiration",
}  # fmt: skip


class Lender(ThreadingHTTPServer):
    """Lends what a test says, for as long as it says. asked: how often credentials were asked for."""

    daemon_threads = True

    def __init__(self, lent: S3Credentials) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lent, self.lives = lent, timedelta(hours=6)
        self.is_away, self.asked = False, 0
        self.is_first_version = False  # of the instance's service: it wants no token
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def instance(self) -> dict[str, str]:
        """What makes a process ask as an instance does."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    @property
    def container(self) -> dict[str, str]:
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.url}/container", "AWS_CONTAINER_AUTHORIZATION_TOKEN": BEARER
        }  # fmt: skip

    def answer(self) -> dict[str, Any]:
        self.asked += 1
        ends = datetime.now(UTC) + self.lives
        known = {"AccessKeyId": self.lent.access_key_id, "SecretAccessKey": self.lent.secret_access_key}
        return known | {
            "Code": "Success", "Type": "AWS-HMAC", "Token": self.lent.session_token,
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"), "LastUpdated": "2026-11-29T00:00:00Z",
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: Lender

    def do_PUT(self) -> None:
        is_asked_well = self.path == "/latest/api/token" and self.headers["x-aws-ec2-metadata-token-ttl-seconds"]
        is_there = is_asked_well and not (self.server.is_away or self.server.is_first_version)
        self._send(200 if is_there else 403, self.server.token)

    def do_POST(self) -> None:
        """STS, as a machine with a web identity asks it: without a signature."""
        sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_known = sent["WebIdentityToken"] == [IDENTITY] and "Authorization" not in self.headers
        made = self.server.answer()
        inside = "".join(f"<{name}>{made[told]}</{name}>" for name, told in IN_XML.items())
        answer = (
            f"<AssumeRoleWithWebIdentityResult><Credentials>{inside}</Credentials></AssumeRoleWithWebIdentityResult>"
        )
        self._send(
            200 if is_known else 403,
            f"<AssumeRoleWithWebIdentityResponse>{answer}</AssumeRoleWithWebIdentityResponse>" if is_known else "<E/>",
        )

    def do_GET(self) -> None:
        lender, folder = self.server, "/latest/meta-data/iam/security-credentials/"
        has_token = self.headers.get("x-aws-ec2-metadata-token") == lender.token
        has_bearer = self.headers.get("Authorization") == BEARER
        if lender.is_away:
            self._send(500, "")
        elif self.path == "/container":
            self._send(200 if has_bearer else 401, json.dumps(lender.answer()) if has_bearer else "{}")
        elif not has_token and not lender.is_first_version:
            self._send(401, "")
        else:
            self._send(200, ROLE if self.path == folder else json.dumps(lender.answer()))

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def lending(lent: S3Credentials) -> Iterator[Lender]:
    lender = Lender(lent)
    try:
        yield lender
    finally:
        lender.shutdown()
        lender.server_close()
