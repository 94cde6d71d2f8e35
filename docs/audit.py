"""Asks OSV for known weaknesses of every package that is pinned: `make audit`.

Of both locks: what a server, the image, the tests and the build install. uv does the work. What a browser gets from
`server/web/static/vendor` is not covered. No answer is an error, not a clean result.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.lock", ROOT / "deploy" / "requirements.lock")
OSV = "https://api.osv.dev"  # https://google.github.io/osv.dev/api/
_PINNED = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+==[^\s;\\]+)(?: ; (?P<marker>[^\\\n]+?))?(?: \\)?$", re.MULTILINE)


class NothingPinned(Exception):
    """A lock names no package: it cannot be read, and an audit of nothing would find nothing."""


def pinned() -> list[str]:
    """Each package of the locks as a requirement. Raises NothingPinned."""
    found = set[str]()
    for lock in LOCKS:
        pins = list(_PINNED.finditer(lock.read_text(encoding="utf-8")))
        if not pins:
            raise NothingPinned(f"{lock.relative_to(ROOT)} names no package")
        found.update(one["pin"] + (f" ; {one['marker']}" if one["marker"] else "") for one in pins)
    return sorted(found)


def audit(folder: Path, osv: str) -> int:
    """Write a project that needs all of it, and have uv ask; returns uv's exit code, 0 only if nothing is known."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "uv.lock").unlink(missing_ok=True)
    needs = "".join(f"  {one!r},\n" for one in pinned())
    project = f'[project]\nname = "audited"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = [\n{needs}]\n'
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    uv = [str(Path(sys.executable).with_name("uv")), "--directory", str(folder)]
    locked = subprocess.run([*uv, "lock", "--quiet"], check=False)
    if locked.returncode != 0:
        return locked.returncode
    asked = [*uv, "audit", "--preview-features", "audit", "--locked", "--service-url", osv]
    return subprocess.run(asked, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "audit", help="a folder for the project")
    parser.add_argument("--osv", default=OSV, help="another server with OSV's API")
    options = parser.parse_args()
    try:
        return audit(options.to, options.osv)
    except NothingPinned as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
