"""The client's tests, from its wheel, on the oldest Python and with the oldest packages that it promises to run on."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from server.web import client_wheel
from tests import parts
from tests.prepare import OLDEST_PYTHON

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = (ROOT / "tests" / "interop" / "oldest-python.txt").read_text(encoding="utf-8")


def test_what_is_tested_is_what_the_client_promises() -> None:
    """The Python and the versions in the environment are the lower bounds of client/pyproject.toml."""
    assert PROJECT["requires-python"] == f">={OLDEST_PYTHON}"
    for bound in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["keyring"]:
        name, version = bound.split(">=")
        assert any(line.startswith(f"{name}=={version}.") for line in REQUIREMENTS.splitlines()), bound


def test_the_clients_tests_pass_on_it(tmp_path: Path) -> None:
    if not (parts.OLDEST_PYTHON / ".installed").exists():
        parts.missing(f"Python {OLDEST_PYTHON}")
    python = str(parts.OLDEST_PYTHON / "bin" / "python")
    wheel = client_wheel.packed()
    path = tmp_path / wheel.filename
    path.write_bytes(wheel.content)
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "pip", "install", "-q", "--python", python, "--no-deps", "--reinstall", str(path)], check=True)
    command = [python, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "no:cacheprovider"]
    command += ["-W", "error", "--rootdir", str(ROOT), "-c", os.devnull, "client/tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
