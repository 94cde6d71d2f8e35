"""The client's wheel: pip installs it from the server as it is, and what it installs runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from server.web import client_wheel
from tests.e2e.partner import partner_of
from tests.world import World


def test_pip_installs_the_client_from_the_server(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the address on the page of commands, hash included; the command that it brings is the client's."""
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    with partner_of(sqlite_world, tmp_path) as partner:
        page = sqlite_world.visit("cleared").get("/stages/mini-gpt/base/main/commands").text
        with sqlite_world.client.application.test_request_context():
            address = client_wheel.address()
        assert address is not None
        assert f"http://localhost:8080{address}" in page
        pip = [sys.executable, "-m", "pip", "--isolated", "--quiet", "--disable-pip-version-check", "install"]
        pip += ["--no-deps", "--no-index", "--target", str(tmp_path / "site")]
        where = partner.endpoint + address
        spoilt = subprocess.run(
            [*pip, where.replace("sha256=", "sha256=0")], capture_output=True, timeout=60, check=False
        )
        assert spoilt.returncode != 0
        subprocess.run([*pip, where], check=True, capture_output=True, timeout=60)
    code = "import weightgate, sys; print(weightgate.__file__); from weightgate.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "download", "--help"], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "--manifest-key" in done.stdout


def test_the_address_without_a_name_leads_to_the_wheel(sqlite_world: World) -> None:
    """For whoever types it; another name is not there; no sign-in is needed and no cookie is set."""
    found = sqlite_world.client.get("/client/")
    assert found.status_code == 302
    wheel = sqlite_world.client.get(found.headers["Location"])
    assert (wheel.status_code, wheel.data) == (200, client_wheel.packed().content)
    assert "Set-Cookie" not in wheel.headers
    assert sqlite_world.client.get("/client/weightgate-9-py3-none-any.whl").status_code == 404
