"""The bill of materials: what a server is made of, all of it and nothing else, in a form that other programs read."""

import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "docs" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def written(sbom: ModuleType) -> str:
    return str(sbom.text(sbom.bill()))


def components(written: str) -> dict[str, Any]:
    return {one["name"]: one for one in json.loads(written)["components"]}


def test_it_is_a_bill_by_the_standard_s_own_schema(written: str) -> None:
    """And the check can fail."""
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(written) is None
    assert validator.validate_str(written.replace('"library"', '"libary"', 1)) is not None


def test_it_has_what_a_server_imports_and_no_tool(written: str) -> None:
    """Each direct dependency, with its version and the hashes that the lock accepts; nothing that only tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in ("embedded", "traces"):
        lines += project["optional-dependencies"][extra]
    found = components(written)
    assert {canonicalize_name(Requirement(line).name) for line in lines} <= found.keys()
    assert not {"pytest", "ruff", "mypy", "cyclonedx-python-lib", "playwright", "uv"} & found.keys()
    for one in found.values():
        if one["purl"].startswith("pkg:pypi/"):
            assert one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}"
            assert {len(each["value"]) for each in one["properties"]} == {64}


def test_it_has_what_the_pages_bring_along(written: str) -> None:
    """Scripts and styles in our own folder are no packages, and are read from beside them."""
    ours = {path.parent.name for path in (ROOT / "server" / "web" / "static" / "vendor").glob("*/VERSION")}
    found = {name: one for name, one in components(written).items() if one["purl"].startswith("pkg:npm/")}
    assert len(found) == len(ours) == 3
    assert found["chart.js"]["hashes"][0]["alg"] == "SHA-256"


def test_it_says_what_needs_what(written: str) -> None:
    """So that a weakness in a package leads to what brought it here."""
    told = {one["ref"].partition("@")[0]: one.get("dependsOn", []) for one in json.loads(written)["dependencies"]}
    assert any(ref.startswith("pkg:pypi/werkzeug@") for ref in told["pkg:pypi/flask"])
    assert any(ref.startswith("pkg:npm/chart.js@") for ref in told["pkg:pypi/weightgate-server"])


def test_the_same_checkout_gives_the_same_bytes(sbom: ModuleType, written: str) -> None:
    """No time and no random number: whoever builds it again can compare."""
    assert sbom.text(sbom.bill()) == written


def test_what_is_not_in_the_lock_is_named(sbom: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bill of something else than what is installed from the lock is not written."""
    locked = {key: hashes for key, hashes in sbom._locked() if key[0] != "flask"}
    monkeypatch.setattr(sbom, "_locked", lambda: iter({**locked, ("flask", "0.1"): ()}.items()))
    with pytest.raises(sbom.NotLocked, match=r"flask [0-9.]+ is installed, which the lock does not have"):
        sbom.bill()
