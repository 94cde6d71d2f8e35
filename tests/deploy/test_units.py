"""The systemd units: what they run is there, and systemd understands them."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from server.cli.main import commands
from server.settings import FILE_NAME
from server.storage.embedded_config import nginx_conf

ROOT = Path(__file__).parents[2]
INSTALLED, DATA = "/opt/weightgate", "/var/lib/weightgate"  # where deploy/README.md puts them
UNITS = sorted((ROOT / "deploy").glob("*.service"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
    "User": "weightgate",
}


def read(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    parser.read(unit)
    return parser


def command_of(unit: Path) -> list[str]:
    return shlex.split(read(unit)["Service"]["ExecStart"].replace(INSTALLED, str(ROOT)))


def test_there_is_a_unit_for_each_part() -> None:
    """Web, worker, publisher, metrics, the embedded store and the daily tasks have one each."""
    assert [unit.name for unit in UNITS] == [
        f"weightgate-{name}.service" for name in ("daily@", "metrics", "publisher", "store", "web", "worker")
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_a_program_that_is_there(unit: Path) -> None:
    """Its program is one that `make install` makes, and our own command knows what it is asked for."""
    program, *arguments = command_of(unit)
    assert os.access(program, os.X_OK)
    if Path(program).name == "weightgate-server":
        command = known(commands, arguments[0])
        command.make_context(arguments[0], arguments[1:])  # raises when it does not know an option


def test_the_web_unit_runs_the_one_gunicorn_configuration() -> None:
    """gunicorn reads the file of this repository, and its app is ours."""
    program, flag, path, app = command_of(ROOT / "deploy" / "weightgate-web.service")
    assert (Path(program).name, flag, app) == ("gunicorn", "-c", "server.wsgi:app")
    assert Path(path) == ROOT / "config" / "gunicorn.conf.py"
    assert Path(path).exists()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_can_write_nothing_but_the_instance(unit: Path) -> None:
    """Each of them runs as the server's user, without privileges; what runs all the time is started again."""
    service = read(unit)["Service"]
    assert {name: service[name] for name in HARDENED} == HARDENED
    if "@" in unit.name:
        assert service["ReadWritePaths"] == f"{DATA} -/var/backups/weightgate"
    else:
        assert (service["ReadWritePaths"], service["Restart"]) == (DATA, "on-failure")
    assert f"WEIGHTGATE_DATA={DATA}" in unit.read_text()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    """systemd's own checker has nothing to say; where it is missing, every line is at least a known form."""
    text = unit.read_text().replace(INSTALLED, str(ROOT))
    if shutil.which("systemd-analyze") is None:
        assert set(read(unit).sections()) - {"Install"} == {"Unit", "Service"}
        return
    (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert unit.name not in done.stderr  # it may have something to say about the machine's own units
    assert done.returncode == 0


def test_the_readme_names_every_file_here() -> None:
    """Whoever installs by the README copies each file of this folder, and the paths in it are the units'."""
    readme = (ROOT / "deploy" / "README.md").read_text()
    for path in (ROOT / "deploy").iterdir():
        assert path.name in readme or path.name == "README.md"
    for word in (INSTALLED, DATA, FILE_NAME, "make -C", "certbot", "ufw", "doctor", "backup", "restore", "migrate"):
        assert word in readme


def test_every_command_in_the_readme_exists() -> None:
    """Each `weightgate-server …` that the README tells to give is a command with those options."""
    readme = (ROOT / "deploy" / "README.md").read_text().replace("\\\n", " ")
    given = [
        line.partition("weightgate-server ")[2]
        for line in map(str.strip, readme.splitlines())
        if line.startswith("weightgate-server ")
    ]
    assert len(given) > 6
    for line in given:
        words = shlex.split(line.partition(" && ")[0], comments=True)
        command: click.Command = commands
        while isinstance(command, click.Group):
            command = known(command, words.pop(0))
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_the_daily_tasks_are_commands_that_are_there(tmp_path: Path) -> None:
    """Each task that the guide enables runs a command of ours with options that it knows; another is wrong use."""
    server = tmp_path / ".venv" / "bin" / "weightgate-server"
    server.parent.mkdir(parents=True)
    server.write_text('#!/bin/sh\necho "$@"\n')
    server.chmod(0o755)
    script = tmp_path / "deploy" / "daily"
    script.parent.mkdir()
    shutil.copy(ROOT / "deploy" / "daily", script)
    readme = (ROOT / "deploy" / "README.md").read_text()
    enabled = sorted(set(re.findall(r"weightgate-daily@(\w+)\.timer", readme)))
    assert enabled == ["backup", "doctor", "reconcile", "verify"]
    told = {**os.environ, "RECONCILE": f"{tmp_path}/reads.log* --own somebody"}
    (tmp_path / "reads.log").touch()
    (tmp_path / "reads.log.1").touch()
    for task in enabled:
        words = subprocess.run([script, task], capture_output=True, text=True, check=True, env=told).stdout.split()
        command: click.Command = commands
        while isinstance(command, click.Group):
            command = known(command, words.pop(0))
        made = command.make_context(task, words)
        if task == "reconcile":
            assert made.params["places"] == (f"{tmp_path}/reads.log", f"{tmp_path}/reads.log.1")
            assert made.params["own"] == ("somebody",)
    untold = subprocess.run([script, "reconcile"], capture_output=True, text=True, check=False)
    assert (untold.returncode != 0, "/etc/default/weightgate-daily" in untold.stderr) == (True, True)
    assert subprocess.run([script, "other"], capture_output=True, check=False).returncode == 2


def test_the_front_of_another_s_store_writes_the_embedded_store_s_lines() -> None:
    """One format, in two files that nginx reads: the names of variables differ, and nothing else."""
    lines = log_format(nginx_conf(1, 2, "a", "b", None))
    own = re.sub(r"\$(?!http_|request_|remote_addr|status|body_bytes_sent|msec)\w+", "$…", lines)
    front = log_format((ROOT / "deploy" / "nginx-outside-store.conf").read_text())
    assert re.sub(r"\$weightgate_\w+", "$…", front) == own


def known(group: click.Group, name: str) -> click.Command:
    """A command by its name; its module is imported when it is asked for."""
    command = group.get_command(click.Context(group), name)
    assert command is not None, name
    return command


def log_format(text: str) -> str:
    """What a configuration's lines of JSON are made of."""
    (found,) = re.findall(r"log_format \w+ escape=json ([^;]*);", text)
    return "".join(re.findall("'([^']*)'", found))
