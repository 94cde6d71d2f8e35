"""The demo, as a newcomer meets it: one command, real parts, and an end that leaves nothing running."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
import requests

from server.cli import processes
from server.storage.embedded import free_port
from tests import parts
from tests.aria2 import digests
from tests.cli.operator import Operator
from tests.cli.started import Started, answers

KEYS = {
    "endpoint", "s3_endpoint", "bucket", "database_url", "people", "tokens", "stages", "sources", "log_origin",
    "log_vkey", "receipt_vkey", "manifest_public_key", "s3_door",
}  # fmt: skip
PEOPLE = {"admin", "admin2", "auditor", "publisher", "cleared", "unsigned", "uncleared"}


@dataclass
class Demo:
    """A demo of its own ports, and whether its description was there first."""

    started: Started
    port: int
    store_port: int
    complete_before_ready: bool = False

    @property
    def description(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((self.started.folder / "demo.json").read_bytes())
        return body

    def again(self) -> "Demo":
        """Start another run on the same folder."""
        return start(self.started.folder, self.port, self.store_port)

    def wait(self) -> "Demo":
        """Until it is ready and has said so, watching what is there when."""
        self.started.until(self._is_ready)
        self.started.until(lambda: "Weightgate is ready" in self.started.out)
        return self

    def _is_ready(self) -> bool:
        described = (self.started.folder / "demo.json").exists()
        if described:
            assert set(self.description) >= KEYS  # complete whenever it is there
        if not is_ready(self.port):
            return False
        self.complete_before_ready = described
        return True

    def get(self, path: str, token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.description['tokens'][token]}"}
        return requests.get(f"http://127.0.0.1:{self.port}/api/v1{path}", headers=headers, timeout=10)


def start(folder: Path, port: int, store_port: int, *arguments: str) -> Demo:
    # The store's port is given: 8333, which is tried first, may be another test's in a moment.
    more = {"WEIGHTGATE_S3_ENDPOINT_URL": f"http://127.0.0.1:{store_port}", "WEIGHTGATE_WEB_WORKERS": "1"}
    return Demo(Started(folder, "demo", *arguments, **more), port, store_port)


def is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except (requests.ConnectionError, requests.Timeout):  # it listens before it answers
        return False


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A run, still running, on a folder whose first run was killed outright, children and all, while it built."""
    port = free_port()
    folder, store_port = tmp_path_factory.mktemp("demo") / "data", free_port({port})
    killed = start(folder, port, store_port, "--port", str(port))
    try:
        killed.started.until(lambda: "gpt-2/774M" in killed.started.out)
    finally:
        killed.started.kill()
    assert not (folder / "demo.json").exists()
    again = start(folder, port, store_port, "--port", str(port))
    try:
        yield again.wait()
    finally:
        again.started.kill()


@pytest.fixture(scope="module")
def stopped(demo: Demo) -> tuple[dict[str, Any], int]:
    """The same after Ctrl-C: what its file said, and its exit code. Tests below this line need it stopped."""
    return demo.description, demo.started.interrupt()


def test_a_run_after_kill_9_in_the_middle_of_building_works(demo: Demo) -> None:
    """What was half built is cleared, and the example is built anew and whole."""
    for stage in demo.description["sources"]:
        assert demo.get(f"/stages/{stage}/checkpoints/main", "publisher").status_code == 200


def test_it_describes_itself_completely_before_it_is_ready(demo: Demo) -> None:
    """Programs that wait for /readyz find demo.json complete, private, and with exactly the keys of the design."""
    assert demo.complete_before_ready
    assert set(demo.description) == KEYS
    assert stat.S_IMODE((demo.started.folder / "demo.json").stat().st_mode) == 0o600
    assert set(demo.description["people"]) == PEOPLE
    assert {frozenset(person) for person in demo.description["people"].values()} == {
        frozenset({"email", "password", "totp_secret"})
    }
    assert set(demo.description["tokens"]) == PEOPLE - {"admin2"} | {"expired"}
    assert demo.description["endpoint"] == f"http://localhost:{demo.port}"
    assert demo.description["s3_endpoint"] == f"http://127.0.0.1:{demo.store_port}"


def test_the_printed_command_fetches_the_very_files(demo: Demo, tmp_path: Path) -> None:
    """What is printed to be pasted, pasted into a real shell, downloads files with the sources' hashes."""
    printed = demo.started.out.partition("into ./gpt-2/774M:\n\n")[2].partition("\n\n")[0]
    subprocess.run(["/bin/bash", "-c", f"set -o pipefail; {printed}"], cwd=tmp_path, check=True, capture_output=True)
    source = Path(demo.description["sources"]["gpt-2/774M"])
    assert digests(tmp_path / "gpt-2" / "774M") == digests(source)
    assert len(digests(source)) == 7


def test_the_printed_command_of_the_hugging_face_client_works(demo: Demo, tmp_path: Path) -> None:
    """Pasted with the client on the path, it puts the very files into the cache that it names."""
    if not (parts.HUB_LINES["1.33"] / ".installed").exists():
        parts.missing("an environment with huggingface_hub 1.33")
    printed = demo.started.out.partition("unchanged:\n\n")[2].partition("\n\n")[0]
    path = f"{parts.HUB_LINES['1.33'] / 'bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path)}
    subprocess.run(["/bin/bash", "-c", printed], cwd=tmp_path, check=True, capture_output=True, env=environment)
    (snapshot,) = (tmp_path / "hf-home" / "hub" / "models--gpt-2--774M" / "snapshots").iterdir()
    assert digests(snapshot) == digests(Path(demo.description["sources"]["gpt-2/774M"]))


def test_what_was_fetched_is_known_within_seconds(demo: Demo) -> None:
    """By the store's own account; and where it went to another network than the one that asked, there is an alarm."""
    order = {"stage": "gpt-2/774M", "paths": ["hparams.json", "encoder.json"]}
    headers = {"Authorization": f"Bearer {demo.description['tokens']['cleared']}"}
    issued = requests.post(f"http://127.0.0.1:{demo.port}/api/v1/downloads", json=order, headers=headers, timeout=10)
    near, far = issued.json()["files"]
    assert requests.get(near["url"], timeout=10).status_code == 200
    demo.started.until(lambda: delivered(demo, issued.json()["id"]) == near["size_bytes"])
    assert alarms(demo, issued.json()["id"]) == []
    with requests.Session() as elsewhere:
        elsewhere.mount("http://", From("127.1.0.1"))
        assert elsewhere.get(far["url"], timeout=10).status_code == 200
    demo.started.until(lambda: delivered(demo, issued.json()["id"]) == near["size_bytes"] + far["size_bytes"])
    (alarm,) = alarms(demo, issued.json()["id"])
    assert (alarm["alarm"], alarm["address"]) == ("foreign_address", "127.1.0.1")


class From(requests.adapters.HTTPAdapter):
    """Connects from another address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, source_address=(self._address, 0), **kwargs)


def delivered(demo: Demo, download: str) -> int | None:
    items = demo.get("/downloads", "cleared").json()["items"]
    found: int | None = next(item["delivered_bytes"] for item in items if item["id"] == download)
    return found


def alarms(demo: Demo, download: str) -> list[dict[str, Any]]:
    items = demo.get("/log/entries?kind=alarm", "auditor").json()["items"]
    records = [json.loads(item["record"]) for item in items]
    return [record for record in records if record["download"] == download]


def test_the_printed_commands_prove_a_download(demo: Demo, tmp_path: Path) -> None:
    """Pasted into a shell, they ask for a download and find it in the log, with the client's own verifier."""
    printed = demo.started.out.partition("  export WEIGHTGATE_ENDPOINT")[2].partition("\n\n")[0]
    environment = os.environ | {"WEIGHTGATE_STATE": str(tmp_path / "state")}
    done = subprocess.run(
        ["/bin/bash", "-c", f"set -e; export WEIGHTGATE_ENDPOINT{printed}"],
        cwd=tmp_path, check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.stdout.startswith("proven: ")


def test_the_printed_command_of_our_client_downloads_and_verifies(demo: Demo, tmp_path: Path) -> None:
    """With the variables that are exported before; the files are the published ones."""
    exported = next(line for line in demo.started.out.splitlines() if line.startswith("  export WEIGHTGATE_ENDPOINT"))
    printed = demo.started.out.partition("which verifies all of it:\n\n")[2].partition("\n\n")[0]
    script = f"set -e; export WEIGHTGATE_STATE={tmp_path / 'state'}; {exported}; {printed}"
    subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    source = Path(demo.description["sources"]["gpt-2/774M"])
    assert all((tmp_path / "verified" / file.name).read_bytes() == file.read_bytes() for file in source.iterdir())


def test_the_printed_commands_of_the_operator_work(demo: Demo, tmp_path: Path) -> None:
    """They name a program that is there, and the doctor finds the demo well."""
    printed = [line.strip() for line in demo.started.out.splitlines() if " --data " in line]
    password = demo.description["people"]["admin"]["password"]
    store = f"http://127.0.0.1:{demo.store_port}"
    environment = os.environ | {"WEIGHTGATE_PASSWORD": password, "WEIGHTGATE_S3_ENDPOINT_URL": store}
    assert len(printed) == 4
    for command in printed:
        subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, check=True, capture_output=True, env=environment)


def test_the_second_factor_is_what_an_app_would_show(demo: Demo, newcomer: Operator) -> None:
    """For each of the demo's people, and in no other folder."""
    for name, person in demo.description["people"].items():
        codes = pyotp.TOTP(person["totp_secret"])
        shown = {codes.now()}
        done = subprocess.run(_demo_code(demo.started.folder, name), check=True, capture_output=True, text=True)
        assert done.stdout[:6] in shown | {codes.now()}
    unknown = subprocess.run(_demo_code(demo.started.folder, "nobody"), check=False, capture_output=True, text=True)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "cleared" in unknown.stderr
    newcomer("demo-code", "cleared", code=1)


def _demo_code(folder: Path, name: str) -> list[str]:
    return [sys.executable, "-m", "server", "--data", str(folder), "demo-code", name]


def test_sources_are_exactly_main(demo: Demo) -> None:
    """For every stage, the files in `sources` are those of its `main`, by path and hash."""
    for stage, folder in demo.description["sources"].items():
        files = demo.get(f"/stages/{stage}/checkpoints/main", "publisher").json()["files"]
        assert {file["path"]: file["sha256"] for file in files} == digests(Path(folder))
    assert set(demo.description["stages"].values()) <= set(demo.description["sources"])


def test_a_file_of_mini_gpt_is_large_enough_to_resume(demo: Demo) -> None:
    """The largest file of mini-gpt/base has at least a megabyte."""
    assert max(path.stat().st_size for path in Path(demo.description["sources"]["mini-gpt/base"]).iterdir()) >= 10**6


def test_each_token_is_what_its_name_says(demo: Demo) -> None:
    """The expired token is refused as such, and every other one is accepted."""
    assert demo.get("/me", "expired").json()["code"] == "invalid_credentials"
    assert {demo.get("/me", name).status_code for name in demo.description["tokens"] if name != "expired"} == {200}


def test_everything_listens_on_loopback_only(demo: Demo) -> None:
    """No process of the demo can be reached from another machine."""
    links = [link for pid in demo.started.processes() for link in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {str(link.readlink()) for link in links if link.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]
    assert len(listening) > 2
    assert set(listening) == {"0100007F"}


def test_no_secret_is_in_its_messages(demo: Demo) -> None:
    """Tokens and passwords are printed for the newcomer, and never written to standard error."""
    demo.get("/stages", "cleared")
    secrets = [*demo.description["tokens"].values(), *(p["password"] for p in demo.description["people"].values())]
    assert not [secret for secret in secrets if secret in demo.started.err]


def test_a_second_demo_in_the_folder_is_refused(demo: Demo, newcomer: Operator) -> None:
    """Two at once would take the same data for theirs; the first goes on."""
    assert "A demo is already running in" in newcomer.elsewhere(demo.started.folder)("demo", code=1).line
    assert is_ready(demo.port)


def test_a_worker_that_is_killed_is_started_again(demo: Demo) -> None:
    """The parent starts another one, and the web server is not disturbed."""
    (before,) = demo.started.named(r"-m server .*worker")
    (web,) = demo.started.named("gunicorn")
    os.kill(before, signal.SIGKILL)
    demo.started.began = time.monotonic()  # the others' tests took their time
    demo.started.until(lambda: demo.started.named(r"-m server .*worker") not in ([], [before]))
    assert demo.started.named("gunicorn") == [web]
    assert is_ready(demo.port)


def test_ctrl_c_stops_everything_with_exit_code_0(demo: Demo, stopped: tuple[dict[str, Any], int]) -> None:
    """No process that was started still runs, its ports are free, and nothing was complained about."""
    assert stopped[1] == 0
    assert demo.started.leftovers() == set()
    assert not answers(demo.port)
    assert not answers(demo.store_port)
    assert "Stopped. Run the same command to continue with the same data." in demo.started.out


@pytest.fixture(scope="module")
def second(demo: Demo, stopped: tuple[dict[str, Any], int]) -> Iterator[Demo]:
    """A second run on the same folder, which was moved meanwhile, without naming the port again; its settings are from
    before there were mails."""
    made = demo.started.folder / "weightgate.toml"
    made.write_text(made.read_text().replace("development_mails = true\n", ""))
    again = start(demo.started.folder.rename(demo.started.folder.with_name("moved")), demo.port, demo.store_port)
    try:
        yield again.wait()
    finally:
        again.started.kill()


def moved(demo: Demo, description: dict[str, Any]) -> dict[str, Any]:
    """What a description says of the folder where it lies now."""
    here, there = demo.started.folder, demo.started.folder.with_name("moved")
    body: dict[str, Any] = json.loads(json.dumps(description).replace(f"{here}/", f"{there}/"))
    return body


def test_a_second_run_keeps_data_ports_and_tokens(
    second: Demo, demo: Demo, stopped: tuple[dict[str, Any], int]
) -> None:
    """It says the same as before of the folder's new place, builds nothing, and the tokens from before work."""
    assert second.description == moved(demo, stopped[0]) != stopped[0]
    assert "Building" not in second.started.out
    assert second.get("/me", "cleared").json()["organization"] == "aurora-institute"


def test_mails_are_shown_on_their_page(second: Demo) -> None:
    """Also by a demo that was made before; what was told while it was built does not crowd the terminal."""
    page = requests.get(f"http://127.0.0.1:{second.port}/mails", timeout=10)
    assert (page.status_code, "Approved: research on gpt-2" in page.text) == (200, True)
    assert "--- Mail" not in second.started.out


@pytest.fixture(scope="module")
def third(second: Demo) -> Iterator[Demo]:
    """A run on the same folder after kill -9 of everything."""
    second.started.kill()
    again = second.again()
    try:
        yield again.wait()
    finally:
        again.started.kill()


def test_a_run_after_kill_9_of_everything_works(third: Demo, demo: Demo, stopped: tuple[dict[str, Any], int]) -> None:
    """Stale locks, sockets and process ids of the killed run are in nobody's way, and no data is lost."""
    assert third.description == moved(demo, stopped[0])
    assert third.get("/stages/gpt-2/774M/checkpoints/main", "cleared").status_code == 200


def test_a_web_server_that_dies_ends_all_with_exit_code_1(third: Demo) -> None:
    """A demo without its web server would only look alive: everything else is stopped, too."""
    (web,) = third.started.named("gunicorn")
    os.kill(web, signal.SIGKILL)
    assert third.started.process.wait(40) == 1
    assert third.started.leftovers() == set()
    assert "the web server exited" in third.started.err


def test_a_taken_port_is_one_line_and_takes_no_folder(newcomer: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port is named with what to do, and the same command with another port works on the same folder."""
    monkeypatch.setattr(processes, "LEFTOVERS_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = newcomer("demo", "--port", port, code=1).line
    assert f"127.0.0.1:{port} is in use" in line
    assert "choose another port" in line
    assert list(newcomer.folder.iterdir()) == []


def test_a_folder_with_anything_else_in_it_is_refused(newcomer: Operator) -> None:
    """A demo that is killed while it builds is cleared: that must never be somebody's home."""
    newcomer.folder.mkdir()
    (newcomer.folder / "thesis.txt").write_text("All my work.")
    assert "is not empty" in newcomer("demo", code=1).line
    assert (newcomer.folder / "thesis.txt").read_text() == "All my work."


def test_an_instance_that_is_no_demo_is_refused(operator: Operator) -> None:
    """The example's people and tokens do not come into an instance that somebody made for work."""
    assert "is not a demo" in operator("demo", code=1).line
