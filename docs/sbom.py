"""Writes a bill of what a server is made of: `make sbom`, CycloneDX 1.6 as JSON, to build/sbom.json.

From what is installed, held against the lock, with the hashes that the lock accepts. Tools of tests and of the build
are not in it. The same checkout gives the same bytes.
"""

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SERVER, EXTRAS = "weightgate-server", frozenset({"embedded", "traces"})
VENDORED = ROOT / "server" / "web" / "static" / "vendor"
_LOCKED = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)[^\n]*\n(?P<hashes>(?:    --hash=\S+(?: \\)?\n?)+)", re.MULTILINE
)
_VENDORED = re.compile(
    r"(?P<title>\S+) (?P<version>\S+)\nLicense: (?P<license>[^(\n]+?) \(LICENSE\)\nFrom: \S+/package/(?P<name>\S+)\n"
)


class NotLocked(Exception):
    """What is installed is not what the lock says: run `make install`."""


def bill() -> Bom:
    """Every package that a server may import, and what its pages bring along. Raises NotLocked."""
    made = Bom(serial_number=None)
    installed = metadata.distribution(SERVER)
    made.metadata.component = _component(installed, ComponentType.APPLICATION, hashes=())
    locked = dict(_locked())
    refs = {SERVER: made.metadata.component}
    needs = _closure(SERVER, EXTRAS)
    for name in sorted(needs.keys() - {SERVER}):
        found = metadata.distribution(name)
        if (name, found.version) not in locked:
            raise NotLocked(f"{name} {found.version} is installed, which the lock does not have: run `make install`")
        refs[name] = _component(found, ComponentType.LIBRARY, locked[name, found.version])
        made.components.add(refs[name])
    for name, needed in needs.items():
        made.register_dependency(refs[name], [refs[each] for each in sorted(needed)])
    scripts = list(_vendored())
    made.components.update(scripts)
    made.register_dependency(refs[SERVER], scripts)
    return made


def text(made: Bom) -> str:
    """Without a time and a random number, which CycloneDX would let one have."""
    made.metadata.timestamp = None  # type: ignore[assignment]  # the standard needs none, and a time is never the same
    made.serial_number = None  # type: ignore[assignment]
    return JsonV1Dot6(made).output_as_string(indent=2) + "\n"


def _closure(name: str, extras: frozenset[str]) -> dict[str, set[str]]:
    """What each package needs here, by canonical names."""
    found: dict[str, set[str]] = {}
    waiting = [(name, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        needed = list(_needed(*one))
        found.setdefault(one[0], set()).update(each for each, _ in needed)
        waiting += needed
    return found


def _needed(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in metadata.requires(name) or ():
        wanted = Requirement(line)
        here = [{**default_environment(), "extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(wanted.marker.evaluate(environment) for environment in here):  # type: ignore[arg-type]
            yield canonicalize_name(wanted.name), frozenset(wanted.extras)


def _locked() -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Names and versions, some of other Pythons than ours, with the hashes of their files."""
    for found in _LOCKED.finditer((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", found["hashes"]))
        yield (canonicalize_name(found["name"]), found["version"]), hashes


def _component(found: metadata.Distribution, kind: ComponentType, hashes: tuple[str, ...]) -> Component:
    """hashes: of the files that the lock accepts. A component has one hash of a kind, so they are its properties."""
    name, version = canonicalize_name(found.name), found.version
    purl = PackageURL("pypi", name=name, version=version)
    made = Component(name=name, version=version, type=kind, purl=purl, bom_ref=str(purl))
    if license_ := _license(found):
        made.licenses.add(DisjunctiveLicense(name=license_))
    made.properties.update(Property(name="weightgate:lock:sha256", value=each) for each in hashes)
    return made


def _license(found: metadata.Distribution) -> str:
    """As the package says it, by whichever way: an expression, a line, or its classifiers. Empty: it does not."""
    told = found.metadata
    for name in ("License-Expression", "License"):
        if name in told and (first := told[name].strip().partition("\n")[0]):
            return first
    found_in = [one for one in told.get_all("Classifier") or () if one.startswith("License :: ")]
    return ", ".join(one.rpartition(" :: ")[2] for one in found_in)


def _vendored() -> Iterator[Component]:
    """What stands in our own folder: scripts, styles and drawings of the pages."""
    for path in sorted(VENDORED.glob("*/VERSION")):
        told = path.read_text(encoding="utf-8")
        found = _VENDORED.match(told)
        if found is None:
            raise NotLocked(f"{path.relative_to(ROOT)} does not say name, version, license and source")
        purl = PackageURL("npm", name=found["name"], version=found["version"])
        made = Component(
            name=found["name"], version=found["version"], type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl)
        )
        made.licenses.add(DisjunctiveLicense(name=found["license"]))
        if digest := re.search(r"^sha256 of \S+: ([0-9a-f]{64})$", told, re.MULTILINE):
            made.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest[1]))
        yield made


def main() -> int:
    target = ROOT / "build" / "sbom.json"
    target.parent.mkdir(exist_ok=True)
    try:
        target.write_text(text(bill()), encoding="utf-8")
    except NotLocked as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Wrote {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
