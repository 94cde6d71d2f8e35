"""Static files: style, scripts and drawings, named by their content; what is others' says whose and under what."""

import hashlib
import re

from server.web.portal.kit.static_files import FOLDER, style
from tests.world import World

FORBIDDEN = re.compile(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write|@import")
VENDORED = sorted(path for path in (FOLDER / "vendor").iterdir() if path.is_dir())


def test_a_file_s_address_holds_its_content_s_hash(sqlite_world: World) -> None:
    """So that a browser may keep it for good, and still sees the next version."""
    visit = sqlite_world.visit(None)
    page = visit.get("/sign-in").text
    found = re.search(r'href="(/static/style\.css\?v=([0-9a-f]{12}))"', page)
    assert found is not None
    assert hashlib.sha256(visit.get(found[1]).data).hexdigest().startswith(found[2])
    answer = visit.get(found[1])
    assert answer.status_code == 200
    assert answer.mimetype == "text/css"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer.close()


def test_the_stylesheet_is_in_layers() -> None:
    """What is vendored is the weakest; so nothing of ours needs `!important`, and its lines can be read."""
    ours = (FOLDER / "portal.css").read_text()
    assert style().startswith("@layer normalize {\n/*! modern-normalize")
    assert style().endswith(ours)
    assert re.findall(r"^@layer ([\w, ]+)", ours, re.MULTILINE) == [
        "normalize, base, parts, adapt",
        "base ",
        "parts ",
        "adapt ",
    ]
    assert "!important" not in ours
    assert [line for line in ours.splitlines() if len(line) > 120] == []


def test_what_people_typed_keeps_its_lines() -> None:
    """Line breaks and indents of a purpose or a reason are seen wherever it is shown."""
    rule = re.search(r"\n\.typed \{([^}]*)\}", style())
    assert rule is not None
    assert "white-space: pre-wrap;" in rule[1]


def test_nothing_outside_the_folder_is_served(sqlite_world: World) -> None:
    """Not by climbing, in whatever form, and not the folder itself."""
    visit = sqlite_world.visit(None)
    for path in ("", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "vendor/../../app.py", "/etc/passwd", "no.css"):
        assert visit.get(f"/static/{path}").status_code == 404, path


def test_what_is_vendored_says_whose_it_is() -> None:
    """Each has its version and its license beside it, and is byte for byte what its VERSION says."""
    assert [path.name for path in VENDORED] == ["chartjs", "lucide", "modern-normalize"]
    for folder in VENDORED:
        version = (folder / "VERSION").read_text()
        assert re.match(r"[\w.-]+ \d+\.\d+\.\d+\nLicense: ", version), folder.name
        assert "Permission" in (folder / "LICENSE").read_text()
        files = {path.name for path in folder.iterdir()} - {"VERSION", "LICENSE"}
        hashes = dict(re.findall(r"sha256 of (\S+): ([0-9a-f]{64})", version))
        assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files} == hashes


def test_our_own_need_nobody_else() -> None:
    """No address of another host in what the browser loads, and nothing that the strict policy would stop."""
    for path in FOLDER.glob("*.*"):
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"""https?:|url\(|["']//""", text), path.name
        assert not FORBIDDEN.search(text), path.name
