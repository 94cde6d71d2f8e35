"""Container tools as they come, against the real server and store: they pull what was published, byte for byte."""

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.domain.release import holds
from tests import parts
from tests.aria2 import digests
from tests.e2e.serving import Served, served
from tests.world import World

STAGE, REPOSITORY = "gpt-2/774M", "gpt-2/774m"
ORAS_PULL = """
import sys
from oras.client import OrasClient
host, token, repository, folder = sys.argv[1:]
client = OrasClient(hostname=host, insecure=True, tls_verify=False)
client.login(hostname=host, username="any", password=token, tls_verify=False)
client.pull(target=f"{host}/{repository}", outdir=folder)
"""


@pytest.fixture
def server(sqlite_world: World) -> Iterator[Served]:
    with served(sqlite_world) as running:
        yield running


def run(command: list[str], home: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """A tool without any settings or credentials of whoever runs the tests."""
    home.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)} | more
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def skopeo(server: Served, token: str | None, reference: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Copy an artifact into a folder, each blob under its hash."""
    if (program := shutil.which("skopeo")) is None:
        parts.missing("skopeo")
    who = ["--src-no-creds"] if token is None else ["--src-creds", f"any:{token}"]
    command = [program, "--insecure-policy", "copy", "--src-tls-verify=false", *who]
    return run([*command, f"docker://localhost:{server.port}/{reference}", f"dir:{folder}"], folder.parent / "home")


def oras(server: Served, token: str, reference: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Pull an artifact into a folder, each file under its path."""
    if not (parts.ORAS / ".installed").exists():
        parts.missing("oras")
    command = [str(parts.ORAS / "bin" / "python"), "-c", ORAS_PULL, f"localhost:{server.port}", token, reference]
    return run([*command, str(folder)], folder.parent / "home")


def blobs(folder: Path) -> dict[str, str]:
    """The title of each layer that skopeo wrote, and the hash of what it wrote."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return {
        layer["annotations"]["org.opencontainers.image.title"]:
        hashlib.sha256((folder / layer["digest"].partition(":")[2]).read_bytes()).hexdigest()
        for layer in manifest["layers"]
    }  # fmt: skip


def sources(world: World, stage: str = STAGE) -> dict[str, str]:
    return digests(world.template.sources / stage)


def test_skopeo_copies_what_was_published(sqlite_world: World, server: Served, tmp_path: Path) -> None:
    """Every blob, and one entry for each file before its first byte."""
    before = len(sqlite_world.records("download"))
    done = skopeo(server, sqlite_world.example.tokens["cleared"], f"{REPOSITORY}:main", tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert blobs(tmp_path / "got") == sources(sqlite_world)
    issued = sqlite_world.records("download")[before:]
    assert sorted(record["files"][0]["path"] for record in issued) == sorted(sources(sqlite_world))


def test_oras_pulls_what_was_published(sqlite_world: World, server: Served, tmp_path: Path) -> None:
    """Every file under its path."""
    done = oras(server, sqlite_world.example.tokens["cleared"], f"{REPOSITORY}:main", tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "got") == sources(sqlite_world)


def test_nobody_needs_a_token_for_what_is_public(sqlite_world: World, server: Served, tmp_path: Path) -> None:
    done = skopeo(server, None, "gpt-2/124m:main", tmp_path / "got")
    assert done.returncode == 0, done.stderr
    assert blobs(tmp_path / "got") == sources(sqlite_world, "gpt-2/124M")


def test_the_portals_commands_do_what_they_say(sqlite_world: World, server: Served, tmp_path: Path) -> None:
    """Pasted into a shell that has the token in its environment."""
    if shutil.which("skopeo") is None:
        parts.missing("skopeo")
    sqlite_world.use.settings = sqlite_world.settings.model_copy(
        update={"public_url": f"http://localhost:{server.port}"}
    )
    page = sqlite_world.visit("cleared").get(f"/stages/{STAGE}/main/commands").text
    printed = [html.unescape(text) for text in re.findall(r"<pre[^>]*skopeo[^>]*><code>(.*?)</code>", page, re.DOTALL)]
    assert len(printed) == 2
    policy = tmp_path / "home/.config/containers/policy.json"  # which the package does not bring
    policy.parent.mkdir(parents=True)
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    environment = {"WEIGHTGATE_TOKEN": sqlite_world.example.tokens["cleared"]}
    done = run(["sh", "-ec", f"cd {tmp_path}; " + "\n".join(printed)], tmp_path / "home", **environment)
    assert done.returncode == 0, done.stderr
    assert blobs(tmp_path / STAGE) == sources(sqlite_world)


def test_the_tools_print_why_they_were_refused(sqlite_world: World, server: Served, tmp_path: Path) -> None:
    """Our sentence reaches the person at the terminal; after a hold the very next pull is refused."""
    tokens = sqlite_world.example.tokens
    done = skopeo(server, tokens["uncleared"], f"{REPOSITORY}:main", tmp_path / "uncleared")
    assert (done.returncode != 0, "not cleared for this" in done.stderr) == (True, True), done.stderr
    holds.place(sqlite_world.use, sqlite_world.admin, STAGE, "A leak.")
    for tool in (skopeo, oras):
        done = tool(server, tokens["cleared"], f"{REPOSITORY}:main", tmp_path / tool.__name__)
        assert (done.returncode != 0, "on hold" in done.stderr) == (True, True), done.stderr
    assert digests(tmp_path / "oras") == {}
