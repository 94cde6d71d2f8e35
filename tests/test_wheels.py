"""The wheels of server and client are the same bytes, wherever and whenever they are built from the same sources."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
SOURCES = {"server": (".", ["pyproject.toml", "README.md", "LICENSE", "config", "server"]), "client": ("client", ["."])}
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "*.pyc")
EPOCH = 1767225600


def build(name: str, folder: Path, *, epoch: int, touched: int, zone: str) -> str:
    """Build one wheel in a folder of its own, as another person on another day; return its SHA-256."""
    place, parts = SOURCES[name]
    source, target = folder / "source", folder / "wheels"
    target.mkdir(parents=True)
    for part in parts:
        origin = ROOT / place / part
        if origin.is_dir():
            shutil.copytree(origin, source / part, ignore=NOT_SOURCES, dirs_exist_ok=True)
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(origin, source / part)
    for path in source.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (touched, touched))
    environment = {"PATH": os.defpath, "SOURCE_DATE_EPOCH": str(epoch), "TZ": zone, "HOME": str(folder)}
    command = [sys.executable, "-c", BUILD, str(target)]
    done = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False, umask=0o022
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = target.iterdir()
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_built_twice_is_the_same_to_the_byte(name: str, tmp_path: Path) -> None:
    """Other folder, day and time zone; only the sources, SOURCE_DATE_EPOCH and the umask count, as in `make wheels`."""
    first = build(name, tmp_path / "a", epoch=EPOCH, touched=1_600_000_000, zone="UTC")
    again = build(name, tmp_path / "elsewhere" / "b", epoch=EPOCH, touched=1_900_000_000, zone="Asia/Tokyo")
    assert again == first
    other = build(name, tmp_path / "c", epoch=EPOCH + 86_400, touched=1_600_000_000, zone="UTC")
    assert other != first  # so the date counts, and both builders must agree on it
