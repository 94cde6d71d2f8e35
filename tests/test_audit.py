"""The audit of dependencies: every pinned package is asked for, what is known of one fails it, and so does silence."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from server.storage.embedded import free_port

ROOT = Path(__file__).parents[1]
KNOWN = "PYSEC-2026-1"


class Osv(ThreadingHTTPServer):
    """A stand-in for OSV. asked: packages and versions; weak: the packages of which something is known."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: set[tuple[str, str]] = set()
        self.weak: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Osv

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.server.asked |= {(one["package"]["name"], one["version"]) for one in queries}
        some = {"vulns": [{"id": KNOWN, "modified": "2026-01-01T00:00:00Z"}]}
        self._answer({"results": [some if one["package"]["name"] in self.server.weak else {} for one in queries]})

    def do_GET(self) -> None:
        fixed = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]
        affected = [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": fixed} for name in self.server.weak]
        self._answer({"id": KNOWN, "summary": "Of a test.", "modified": "2026-01-01T00:00:00Z", "affected": affected})

    def _answer(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def osv() -> Iterator[Osv]:
    with Osv() as running:
        yield running
        running.shutdown()


def audited(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "audit.py"), "--to", str(folder / "audit"), "--osv", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_every_pinned_package_is_asked_for_and_one_that_is_weak_fails_it(tmp_path: Path, osv: Osv) -> None:
    """A server's, the image's and the tests'; first nothing is known, then something."""
    assert audited(tmp_path, osv.url).returncode == 0
    locks = (ROOT / "requirements.lock").read_text() + (ROOT / "deploy" / "requirements.lock").read_text()
    pins = [line.partition(" ")[0].partition("==") for line in locks.splitlines() if "==" in line.partition(" ")[0]]
    assert len(pins) > 150
    assert {(name, version) for name, _, version in pins} - osv.asked == set()
    osv.weak.add("flask")
    found = audited(tmp_path, osv.url)
    assert found.returncode == 1
    assert KNOWN in found.stdout
    assert "flask" in found.stdout


def test_without_an_answer_it_fails(tmp_path: Path) -> None:
    """No answer is an error, not a clean result."""
    nobody = f"http://127.0.0.1:{free_port()}"
    found = audited(tmp_path, nobody)
    assert found.returncode not in {0, 1}
    assert f"{nobody}/v1/querybatch" in found.stderr
