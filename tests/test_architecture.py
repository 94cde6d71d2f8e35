"""The house's order, as far as a machine can see it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVER = ROOT / "server"
DOMAIN = SERVER / "domain"
MODULES = sorted(SERVER.rglob("*.py"))
OWN = sorted([*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "config").rglob("*.py")])
LINES_AT_MOST = 400
FUNCTION_LINES_AT_MOST = 40
ON_LINUX = re.compile(r'pytest\.mark\.skipif\(sys\.platform != "linux", reason="reads /proc"\)')
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
# Tests that are about more than one concept.
MORE_THAN_ONE = {
    Path("web/portal/templates"), Path("domain/audit/who_acted"), Path("domain/audit/older_log"),
    Path("domain/audit/findings"), Path("domain/audit/two_people"), Path("web/portal/admin/two_people"),
    Path("domain/audit/archiving_again"),
}  # fmt: skip
# Modules whose tests lie elsewhere in tests/, and why.
TESTED_IN = {
    "domain/downloads/recipients": "e2e/test_cloudfront.py",
    "domain/operation/delivery_probes": "e2e/test_cloudfront.py",
    "storage/signing_check_cloudfront": "storage/test_signing_cloudfront.py",
    "storage/signing_role": "storage/test_role_credentials.py",
    "domain/accounts/accepted_identities": "web/portal/account/test_provider_sign_in.py",
    "domain/accounts/identity_links": "web/portal/account/test_provider_sign_in.py",
    "domain/accounts/provider_ceremonies": "web/portal/account/test_provider_sign_in.py",
    "domain/accounts/provider_sign_in": "web/portal/account/test_provider_sign_in.py",
    "domain/identity/linked_identities": "web/portal/account/test_provider_sign_in.py",
    "storage/identity_providers": "web/portal/account/test_provider_sign_in.py",
    "storage/provider_answers": "web/portal/account/test_provider_sign_in.py",
    "storage/provider_fetches": "web/portal/account/test_provider_sign_in.py",
    "storage/provider_metadata": "domain/operation/test_doctor.py",
    "domain/accounts/sign_in": "web/portal/account/test_sign_in.py",  # steps that only a browser's cookies connect
    "domain/operation/figures": "domain/operation/test_health.py",  # one instance, in words and in figures
    "domain/operation/metrics": "domain/operation/test_health.py",
    "domain/access/counting_signatures": "domain/access/test_rule.py",  # its row 6
    "domain/access/renewal_reports": "domain/access/test_renewals.py",  # what one takes
    "domain/audit/evidence_checks": "domain/audit/test_evidence_packs.py",  # what is wrong with a changed pack
    "domain/audit/judging/access": "domain/audit/test_replay.py",  # rules of the one replay
    "domain/audit/judging/actors": "domain/audit/test_who_acted.py",
    "domain/audit/judging/findings": "domain/audit/test_findings.py",
    "domain/audit/judging/rules": "domain/audit/test_replay.py",
    "domain/audit/judging/people": "domain/audit/test_who_acted.py",
    "domain/audit/judging/release": "domain/audit/test_replay.py",
    "domain/audit/judging/roles": "domain/audit/test_two_people.py",  # what takes two people, planted past the rules
    "domain/identity/trust_records": "web/portal/partner/test_trust_records.py",  # what its form refuses, too
    "domain/identity/workload_tokens": "domain/identity/test_exchanges.py",  # which writes them
    "storage/bucket_protection": "domain/operation/test_production.py",  # which asks a real bucket
    "storage/bounded_fetch": "web/api/test_token_exchange.py",  # issuers that answer badly, at both doors
    "domain/audit/live_rows": "domain/audit/test_live_tables.py",  # what is compared there
    "domain/audit/log_rows": "domain/audit/test_columns.py",  # rows of the log beside its entries
    "domain/audit/judging/world": "domain/audit/test_replay.py",
    "domain/decisions/records": "domain/decisions/test_proposing.py",  # what each act's entry says
    "domain/errors": "web/test_errors.py",  # names and sentences, each with its HTTP status
    "domain/identity/known_credentials": "domain/identity/test_second_person.py",  # what it asks, as is the next one
    "domain/audit/judging/proposals": "domain/operation/test_carrying_out.py",
    "domain/identity/proposals": "domain/operation/test_carrying_out.py",
    "domain/identity/role_grants": "domain/identity/test_second_person.py",
    "domain/operation/node_checks": "domain/operation/test_nodes.py",  # what is told of them
    "domain/operation/witness_checks": "domain/audit/test_witnessing.py",  # what real witnesses say to it
    "domain/mail/ending_notices": "domain/access/test_endings.py",  # what is told, and when
    "domain/mail/decision_notices": "domain/decisions/test_execution.py",  # sent by what is decided
    "domain/mail/finding_notices": "domain/access/test_finding_reports.py",  # and beside each act that tells somebody
    "domain/permissions": "test_policy.py",  # the whole table against one written by hand
    "domain/release/finding_words": "domain/release/test_findings.py",
    "domain/release/stage_states": "domain/release/test_stages.py",
    "domain/publish/faults": "domain/publish/test_formats.py",  # what a folder's checks gather
    "domain/publish/file_contents": "domain/publish/test_formats.py",  # which it is a part of, as are the next two
    "domain/publish/original_sets": "domain/publish/test_formats.py",
    "domain/publish/patience": "domain/publish/test_publishing.py",  # which waits with it
    "domain/schema": "test_migrations.py",  # the tables against what the migrations make
    "log/row_order": "domain/audit/test_columns.py",  # two ids that were swapped, beside the other columns
    "storage/log_bucket": "domain/audit/test_mirror.py",  # what is created once, and what is replaced
    "storage/attachments": "domain/release/test_finding_attachments.py",  # on the store, from announcing to saving
    "storage/embedded_config": "storage/test_embedded.py",  # texts that only the programs can judge
    "storage/signing_check": "storage/test_signing_s3.py",  # one signer against the other
    "storage/timeouts": "faults/test_database_down.py",  # servers that are frozen, cut off or gone
}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_go_down() -> None:
    """Every contract of .importlinter is kept. In a process of its own: it silences every logger."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)


def test_there_are_modules_to_look_at() -> None:
    """The tests below do not pass because they see nothing."""
    assert len(MODULES) > 50
    assert DOMAIN / "access" / "rule.py" in MODULES


def test_modules_are_short() -> None:
    """At most 400 lines: then they are split."""
    lines = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > LINES_AT_MOST} == {}


def test_functions_are_short() -> None:
    """At most 40 lines; migrations, which are never edited again, apart."""
    long = {
        f"{named(path)}:{function.name}"
        for path in MODULES
        if "versions" not in path.parts
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_AT_MOST
    }
    assert long == set()


def test_modules_say_what_they_are() -> None:
    """Each begins with a docstring, and the server's with one sentence in its first line."""
    docstrings = {path: ast.get_docstring(parsed(path)) or "" for path in OWN if path.read_text().strip()}
    assert {named(path) for path, text in docstrings.items() if not text} == set()
    assert {named(path) for path in MODULES if not docstrings[path].partition("\n")[0].endswith((".", ":"))} == set()


def test_names_say_something() -> None:
    """No utils, helpers, common or manager, as a module or as a folder."""
    names = {named(path): {*path.relative_to(ROOT).parts[:-1], path.stem} for path in OWN}
    assert {name for name, parts in names.items() if parts & BANNED_NAMES} == set()


@pytest.mark.parametrize("layer", ["web", "storage", "log", "domain"])
def test_a_module_s_tests_bear_its_name(layer: str) -> None:
    """The tests mirror the tree, room by room."""
    modules = {path.relative_to(SERVER).with_suffix("") for path in (SERVER / layer).rglob("*.py")}
    tests = {
        path.relative_to(ROOT / "tests").with_name(path.stem.removeprefix("test_"))
        for path in (ROOT / "tests" / layer).rglob("test_*.py")
    }
    assert {str(test) for test in tests - modules - MORE_THAN_ONE} == set()


def test_every_module_is_tested_where_one_looks_for_it() -> None:
    """In the file of its name; or in one that the table names, and then there is no other."""
    modules = {
        path.relative_to(SERVER).with_suffix("")
        for layer in ("domain", "log", "storage")
        for path in (SERVER / layer).rglob("*.py")
        if path.name != "__init__.py"
    }
    own = {str(each) for each in modules if (ROOT / "tests" / each).with_name(f"test_{each.name}.py").exists()}
    assert {str(each) for each in modules} - own == set(TESTED_IN)


def test_the_tables_here_name_what_is_there() -> None:
    """A name that is out of date would excuse the next module of that name."""
    files = [*map(Path, TESTED_IN.values()), *(each.with_name(f"test_{each.name}.py") for each in MORE_THAN_ONE)]
    assert {str(file) for file in files if not (ROOT / "tests" / file).is_file()} == set()


def test_what_is_left_to_do_names_its_issue() -> None:
    """A note that nobody can look up is never done."""
    note = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!.*\b(issue|#)\s*\d+)")
    places = {
        f"{named(path)}:{number}"
        for path in OWN
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if note.search(line)
    }
    assert places == set()


def test_nothing_is_mocked() -> None:
    """Real parts, with fakes at the outer edge only."""
    mocking = {
        named(path)
        for path in OWN
        if any(name.partition(".")[0] in {"mock", "pytest_mock"} or "unittest" in name for name in imports(path))
    }
    assert mocking == set()


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that is called or stands as a decorator or mark, with its line."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Store):
            yield ast.unparse(node), node.lineno


def test_nothing_is_skipped() -> None:
    """A test runs or it is not there; parts that are missing (`tests/parts.py`) and other systems fail in CI."""
    skipping = {
        f"{named(path)}:{line}"
        for path in OWN
        if path.name != "parts.py"
        for name, line in calls(path)
        if re.fullmatch(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)", name)
        and not ON_LINUX.search(path.read_text(encoding="utf-8").splitlines()[line - 1])
    }
    assert skipping == set()


def test_every_test_says_what_it_proves() -> None:
    """In a sentence below its name, or with a name that is one."""
    silent = {
        f"{named(path)}:{function.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function) and function.name.count("_") < 4
    }
    assert silent == set()


def test_no_clock_but_the_resources_one() -> None:
    """Below `web`, the time comes from `use.clock()`: a rule that reads its own clock cannot be tested or locked."""
    reading = {
        f"{named(path)}:{line}"
        for path in sorted(DOMAIN.rglob("*.py"))
        if path.name != "resources.py"
        for name, line in calls(path)
        if re.fullmatch(r"(datetime|date|time)\.(now|utcnow|today|time)|datetime\.datetime\.(now|utcnow)", name)
    }
    assert reading == set()


def test_flask_s_globals_stay_in_web() -> None:
    """What a function needs stands in its signature."""
    using = {
        named(path)
        for path in MODULES
        if "web" not in path.parts and any(name.startswith("flask") for name in imports(path))
    }
    assert using == set()


def test_warnings_are_errors() -> None:
    """In every test run, without a list of exceptions."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert configured["filterwarnings"] == ["error"]
