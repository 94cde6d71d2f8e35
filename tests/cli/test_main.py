"""The command line as a whole: help, exit codes, and errors of one line."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from server import cli
from server.cli.main import ALONE, COMMANDS, commands
from server.settings import FILE_NAME
from server.storage.embedded import free_port
from tests.cli.operator import Operator
from tests.world import World


def every_command(
    group: click.Group = commands, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


PATHS = [path for path, _ in every_command()]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself(newcomer: Operator, path: tuple[str, ...]) -> None:
    """`--help` of each command works without an instance and begins with its usage."""
    answer = newcomer(*path, "--help")
    assert answer.out.startswith("Usage: weightgate-server " + " ".join(path))
    assert answer.err == ""


def test_every_option_says_what_it_is() -> None:
    """No option and no command of the whole tree is without a sentence."""
    for path, command in every_command():
        assert command.help, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_all_commands_of_the_design_are_there() -> None:
    """Each command that the design names exists."""
    wanted = (
        "init serve demo demo-code migrate doctor worker publisher store organization person tier clearance agreement "
        "stage hold decision finding token publish checkpoint backup restore take-over log keys metrics model proposal "
        "export decoy"
    )
    assert set(wanted.split()) == set(COMMANDS)


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """It is written down where no module has to be imported for it."""
    known = {path[0]: command.get_short_help_str(1000) for path, command in every_command() if len(path) == 1}
    assert {name: sentence for name, (_, sentence) in COMMANDS.items()} == known


HEAVY = {"alembic", "boto3", "botocore", "numpy", "psycopg", "pydantic", "rich", "sqlalchemy", "structlog"}
IMPORTED = """
import sys
from server.cli import main
try:
    main()
finally:
    print("\\nIMPORTED", *sys.modules)
"""


QUICK = [("--help",), (), ("bogus",), ("--bogus",), ("--data",), ("--data", "/nowhere", "log", "status")]


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_who_asks_for_help_or_errs_waits_for_no_import(arguments: tuple[str, ...]) -> None:
    """What takes seconds to import, the database and the store, is imported with a command's own module."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, check=False)
    imported = done.stdout.partition("IMPORTED")[2].split()
    assert "server.cli.main" in imported
    assert {name for name in imported if name.partition(".")[0] in HEAVY or name.startswith("server.domain")} == set()


def test_where_there_is_no_instance_all_say_the_same(newcomer: Operator) -> None:
    """Whether the command was imported to say so or not; and those that were not need no other word, indeed."""
    (sentence,) = {newcomer(*words, code=1).line for words in ALONE}
    assert sentence.endswith(f"no settings at {newcomer.folder / FILE_NAME}: create them with `weightgate-server init`")
    assert newcomer("log", "export", code=1).line == sentence
    required = {path for path, command in every_command() if any(each.required for each in command.params)}
    assert ALONE & required == set()
    assert set(PATHS) >= ALONE


def test_no_command_at_all_shows_the_help(newcomer: Operator) -> None:
    """Who gives no command reads which there are, and a script learns that this was wrong use."""
    answer = newcomer.raw(["weightgate-server"])
    assert answer.code == 2
    assert "Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 cannot tell yet, 4" in answer.err


WRONG_USE = [
    (("bogus",), "No such command 'bogus'"),
    (("tier", "add", "gold"), "Missing option '--rank'"),
    (("tier", "add", "gold", "--rank", "much"), "'much' is not a valid integer"),
    (("tier", "list"), "Missing option '--as'"),
    (("clearance", "approve", str(2**64)), "not in the range"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "9999999999d"), "not a valid date or time"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "999999999d"), "not a valid date or time"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "\u00b2d"), "not a valid date or time"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "2027-W05-7"), "write 2027-01-31"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "2027-01-31T12:00:00"), "add the time zone"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "9999-12-31"), "no later than the year 9000"),
    (("clearance", "propose", "x", "y", "z", "--purpose", "p", "--until", "2600000d"), "no later than the year 9000"),
    (("decision", "propose", "gpt-2/774M", "--to", "planned"), "'planned' is not one of"),
    (("decision", "approve", "gpt-2/774M"), "is not a valid integer"),
    (("demo", "--port", "70000"), "not in the range"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_USE, ids=lambda value: str(value)[:40])
def test_wrong_use_is_one_line_that_leads_to_the_help(
    newcomer: Operator, arguments: tuple[str, ...], sentence: str
) -> None:
    """Wrong use ends with code 2 and one line that names the fault and the help to read."""
    line = newcomer(*arguments, code=2).line
    assert sentence in line
    assert "--help` describes it." in line


def test_a_wrong_password_and_an_unknown_person_sound_alike(operator: Operator) -> None:
    """Whoever guesses learns from neither answer whether the person exists."""
    operator.people["guess"] = {"email": operator.people["admin"]["email"], "password": "not the password"}
    operator.people["nobody"] = {"email": "nobody@example-lab.example", "password": "not the password"}
    wrong, unknown = operator("tier", "list", by="guess", code=1), operator("tier", "list", by="nobody", code=1)
    assert wrong == unknown
    assert "Incorrect email address or password" in wrong.line
    assert "not the password" not in wrong.err


def test_a_script_without_a_password_is_told_where_to_put_it(operator: Operator) -> None:
    """Without a terminal to ask at, the command names the variable instead of waiting or dying."""
    command = [sys.executable, "-m", "server", "--data", str(operator.folder), "tier", "list", "--as", "a@b.example"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Set WEIGHTGATE_PASSWORD" in done.stderr


UNSIGNED = "birch-university"
REFUSED_BY_ROLE = [
    ("tier", "edit", "research", "--report-to-renew"),
    ("tier", "add", "gold", "--rank", 99),
    ("organization", "add", "new-lab", "--name", "New"),
    ("organization", "rename", "aurora-institute", "--name", "New"),
    ("organization", "suspend", "aurora-institute", "--reason", "x"),
    ("organization", "resume", "aurora-institute", "--reason", "x"),
    ("organization", "quota", "aurora-institute"),
    ("organization", "networks", "aurora-institute", "192.0.2.0/24"),
    ("person", "add", "new@birch.example", "--organization", UNSIGNED, "--name", "N", "--role", "member"),
    ("person", "disable", f"owner@{UNSIGNED}.example"),
    ("person", "enable", f"owner@{UNSIGNED}.example"),
    ("person", "reset-password", f"owner@{UNSIGNED}.example"),
    ("person", "propose", "auditor@example-lab.example", "--role", "publisher"),
    ("person", "approve", "auditor@example-lab.example"),
    ("person", "reject", "auditor@example-lab.example"),
    ("person", "restore", "auditor@example-lab.example", "--because", "x"),
    ("proposal", "approve", 1),
    ("proposal", "reject", 1),
    ("clearance", "propose", "aurora-institute", "gpt-2", "partner", "--until", "30d", "--purpose", "x"),
    ("clearance", "rehearse", "aurora-institute", "gpt-2", "--tier", "partner", "--until", "30d"),
    ("clearance", "approve", 1),
    ("clearance", "revoke", 1),
    ("agreement", "publish", "other", __file__),
    (
        "agreement", "record-signature", UNSIGNED, "model-sharing", "--signer-name", "B", "--signer-title", "D",
        "--signed-on", "2026-01-01", "--before-publication", "--document", __file__,
    ),
    ("agreement", "end-signature", 1),
    ("stage", "add-model", "new", "--title", "New"),
    ("stage", "add", "gpt-2/9B", "--tier", "research"),
    ("stage", "alias", "gpt-2/774M", "other"),
    ("stage", "edit", "gpt-2/1558M", "--not-announced"),
    (
        "decision", "propose", "gpt-2/774M", "--to", "public", "--rationale-file", __file__, "--would-change-file",
        __file__, "--public-reason", "x",
    ),
    ("decision", "rehearse", "gpt-2/774M", "--to", "public"),
    *(("decision", act, 1) for act in ("approve", "reject", "cancel")),
    ("hold", "place", "everything", "--reason", "x"),
    ("finding", "triage", 1, "--state", "confirmed"),
    ("finding", "erase", 1, "--because", "x"),
    ("hold", "cut", "everything"),
    ("hold", "propose-lift", "everything", "--reason", "x"),
    ("hold", "approve-lift", "everything"),
    ("log", "exposure", "gpt-2/774M", "--from", "2026-01-01", "--to", "2026-02-01"),
    (
        "export", "evidence", "--framework", "soc2", "--from", "2026-01-01", "--to", "2026-02-01", "--out",
        "evidence-that-is-refused",
    ),
    ("log", "resume", "--because", "x"),
    ("log", "acknowledge-clock", "--because", "x"),
    ("log", "archive", "2026-01", "--because", "x"),
    ("log", "erase", 1, "--because", "x"),
    ("keys", "propose-rotation", "--because", "x"),
    ("keys", "rotate"),
    ("publish", str(Path(__file__).parent), "mini-gpt/base"),
    ("checkpoint", "set-main", "mini-gpt/base", "main"),
    ("decoy", "place", "gpt-2/774M"),
    ("decoy", "remove", 1),
]  # fmt: skip


@pytest.mark.parametrize("arguments", REFUSED_BY_ROLE, ids=lambda value: " ".join(map(str, value[:2])))
def test_a_partner_at_the_command_line_is_still_a_partner(
    operator: Operator, sqlite_world: World, arguments: tuple[object, ...]
) -> None:
    """A partner's owner who reaches the host's command line can do nothing that the policy gives to the lab."""
    before = len(sqlite_world.entries())
    line = operator(*arguments, by="cleared", code=1).line
    assert "does not include" in line or "within its organization" in line or "in their own organization" in line
    assert len(sqlite_world.entries()) == before


def test_the_matrix_above_holds_every_changing_command() -> None:
    """A command that is added to the tree has to be added to the test of roles, too."""
    by_everyone = {("token", name) for name in ("create", "list", "rotate", "revoke", "take-over")}
    without_person: set[tuple[str, ...]] = {
        (name,)
        for name in (
            "init",
            "serve",
            "store",
            "worker",
            "publisher",
            "metrics",
            "demo",
            "demo-code",
            "migrate",
            "doctor",
            "backup",
            "restore",
            "take-over",
        )
    }
    without_person |= {
        ("keys", "show"),
        ("keys", "rotate-s3"),
        ("keys", "rotate-cloudfront"),
        *(("log", name) for name in ("verify", "export", "reconcile", "status")),
        *(("export", name) for name in ("prove", "verify")),
    }
    tested = {
        tuple(map(str, arguments[:2])) if arguments[0] != "publish" else ("publish",) for arguments in REFUSED_BY_ROLE
    }
    leaves = {path for path, command in every_command() if not isinstance(command, click.Group)}
    reading = {path for path in leaves if path[-1] in {"list", "show"} and path[0] != "keys"}
    assert leaves - reading - by_everyone - without_person == tested


def test_a_folder_without_an_instance_names_init(newcomer: Operator) -> None:
    """Where there is nothing yet, the line says how to begin."""
    assert "create them with `weightgate-server init`" in newcomer("doctor", code=1).line


def test_a_folder_that_cannot_be_made_is_one_line(newcomer: Operator, tmp_path: Path) -> None:
    """A path through a file is the operator's mistake, not a traceback."""
    (tmp_path / "file").write_text("")
    newcomer.folder = tmp_path / "file" / "new"
    assert f"Not a directory: {tmp_path}/file" in newcomer("demo", code=1).line


def test_a_setting_out_of_bounds_stops_every_command(operator: Operator) -> None:
    """One unsafe key is named with its bounds, and nothing is done."""
    path = operator.folder / FILE_NAME
    path.write_text(path.read_text().replace("url_lifetime_seconds = 300", "url_lifetime_seconds = 9000"))
    assert "url_lifetime_seconds" in operator("tier", "list", by="admin", code=1).line


def test_a_database_that_is_down_is_one_line_without_its_password(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed port at the database's address ends commands on one line that never quotes the URL's password."""
    url = f"postgresql+psycopg://app:very-secret-word@127.0.0.1:{free_port()}/weightgate"
    monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", url)
    for arguments in (("tier", "list"), ("migrate",)):
        answer = operator(*arguments, by="admin" if arguments[0] == "tier" else None, code=1)
        assert "check that it is running" in answer.line
        assert "very-secret-word" not in answer.err


def test_a_database_of_another_version_names_migrate(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty database is not worked on: the line names the command that brings the schema."""
    monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", "sqlite:///empty.sqlite3")
    assert "run `weightgate-server migrate`" in operator("tier", "list", by="admin", code=1).line


def test_a_database_that_is_none_is_one_line(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that SQLite cannot read ends on one line."""
    (operator.folder / "noise.sqlite3").write_bytes(b"noise " * 1000)
    monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", "sqlite:///noise.sqlite3")
    assert "file is not a database" in operator("tier", "list", by="admin", code=1).line


def test_a_store_that_is_down_is_one_line(
    operator: Operator, sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Publishing to a closed port ends on one line, and nobody sees anything of it."""
    monkeypatch.setenv("WEIGHTGATE_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    folder = sqlite_world.template.sources / "mini-gpt" / "large"
    operator("stage", "add", "mini-gpt/small", "--tier", "research", by="admin")
    answer = operator("publish", folder, "mini-gpt/small", "--json", by="publisher", code=1)
    assert "the object store did not respond" in answer.line
    assert sqlite_world.api("GET", "/stages/mini-gpt/small/checkpoints", "publisher").json["items"] == []


def test_whatever_a_command_makes_is_private(tmp_path: Path) -> None:
    """The command line makes its files for its own user alone, whatever umask it was started with."""
    code = "import os, sys; os.umask(0o022); from server.cli import main; sys.argv[1:] = ['--help']\n"
    code += "try: main()\nexcept SystemExit: pass\nfinally: print(oct(os.umask(0)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.endswith("0o77\n")


def test_a_name_cannot_write_to_the_terminal(operator: Operator) -> None:
    """Markup in a name is shown, not obeyed; control sequences are not taken as one, nor repeated in the refusal."""
    operator("organization", "add", "sly", "--name", "[red]Sly[/]", by="admin")
    assert "[red]Sly[/]" in operator("organization", "list", by="admin").out
    refused = operator("organization", "add", "slier", "--name", "\x1b[2J", by="admin", code=1)
    assert "a character that cannot be seen: U+001B" in refused.line
    assert "\x1b" not in refused.line


def test_a_disabled_person_proves_nothing(operator: Operator) -> None:
    """The right password of a disabled person is no longer worth anything."""
    operator("person", "disable", operator.people["auditor"]["email"], by="admin")
    assert "is disabled" in operator("tier", "list", by="auditor", code=1).line


def test_the_folder_may_be_named_after_the_command(operator: Operator, newcomer: Operator) -> None:
    """`--data` counts wherever it is given: first, after a group, or last, where it is noticed to be missing."""
    elsewhere = operator.elsewhere(newcomer.folder).knows_people_of(operator)
    assert "weightgate-server init" in elsewhere("tier", "list", by="admin", code=1).line
    for arguments in (("tier", "list", "--data", operator.folder), ("tier", "--data", operator.folder, "list")):
        assert "research" in elsewhere(*arguments, by="admin").out


def test_a_suggestion_is_punctuated_once() -> None:
    """A misspelled command is answered with the one that was meant, as a question and then a sentence."""
    command = [sys.executable, "-m", "server", "clearence"]  # a process that has not loaded the one that was meant
    line = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert re.fullmatch(r".*Did you mean 'clearance'\? `.* --help` describes it\.\n", line)


# Commands without `--json`, and why.
NO_JSON = {
    "serve": "runs until interrupted", "store": "runs until interrupted", "worker": "runs until interrupted",
    "publisher": "runs until interrupted", "metrics": "runs until interrupted",
    "demo": "runs until interrupted, and writes demo.json", "demo-code": "prints the one code",
    "log export": "writes JSONL itself",
}  # fmt: skip


def test_every_command_that_ends_can_answer_a_script() -> None:
    """Each command of the tree has `--json`, but for those that the table excuses."""
    without = {
        " ".join(path)
        for path, command in every_command()
        if not isinstance(command, click.Group) and not any("--json" in one.opts for one in command.params)
    }
    assert without == set(NO_JSON)


ANSWERS: list[tuple[tuple[object, ...], dict[str, object]]] = [
    (("tier", "add", "gold", "--rank", 99), {"name": "gold", "rank": 99}),
    (("organization", "rename", UNSIGNED, "--name", "Birch"), {"id": UNSIGNED, "name": "Birch", "looks_like": []}),
    (("organization", "suspend", UNSIGNED, "--reason", "x"), {"id": UNSIGNED, "suspended": True}),
    (("organization", "quota", UNSIGNED, "--bytes-per-day", 5), {"id": UNSIGNED, "bytes_per_day": 5}),
    (("organization", "networks", UNSIGNED, "192.0.2.0/24"), {"id": UNSIGNED, "networks": ["192.0.2.0/24"]}),
    (("stage", "add-model", "tiny", "--title", "Tiny"), {"model": "tiny", "title": "Tiny"}),
    (("stage", "add", "gpt-2/9B", "--tier", "research"), {"stage": "gpt-2/9B", "ordinal": 5, "state": "planned"}),
    (("stage", "alias", "gpt-2/774M", "other"), {"stage": "gpt-2/774M", "alias": "other"}),
    (("stage", "edit", "gpt-2/1558M", "--planned", "2031-01"), {"stage": "gpt-2/1558M", "planned": "2031-01..2031-01"}),
    (
        (
            "decision",
            "propose",
            "gpt-2/774M",
            "--to",
            "public",
            "--rationale-file",
            __file__,
            "--would-change-file",
            __file__,
            "--public-reason",
            "x",
        ),
        {"id": 6, "state": "proposed"},
    ),
    (("hold", "place", "everything", "--reason", "x"), {"on": "everything", "held": True}),
    (("clearance", "revoke", 1), {"id": 1, "state": "revoked"}),
    (("agreement", "end-signature", 1), {"id": 1, "ended": True}),
]


@pytest.mark.parametrize(("arguments", "body"), ANSWERS, ids=lambda value: str(value)[:40])
def test_what_was_done_is_answered_to_a_script(
    operator: Operator, arguments: tuple[object, ...], body: dict[str, object]
) -> None:
    """With `--json` a change is answered with one object that names what it is about and what it is now."""
    answered = operator(*arguments, "--json", by="admin").body
    assert body.items() <= answered.items()


def test_no_list_ends_silently() -> None:
    """Commands read lists to their end; one that reads a slice would have to say what it leaves out."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        assert "Slice(" not in path.read_text(), path


def complete(shell: str, *words: str) -> subprocess.CompletedProcess[str]:
    """What the shell's completion script gets to hear about a line that ends with the last word."""
    environment = {
        **os.environ, "_WEIGHTGATE_SERVER_COMPLETE": f"{shell}_complete", "COMP_CWORD": str(len(words)),
        "COMP_WORDS": " ".join(["weightgate-server", *words]),
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "weightgate-server")]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_shell_completes_commands_and_options() -> None:
    """The lines of deploy/README.md install a completion that knows commands, their subcommands and their options."""
    assert complete("bash", "clear").stdout.split() == ["plain,clearance"]
    assert "plain,approve" in complete("bash", "clearance", "app").stdout.split()
    assert "plain,--json" in complete("bash", "tier", "list", "--").stdout.split()
    program = Path(sys.executable).parent
    line = 'eval "$(_WEIGHTGATE_SERVER_COMPLETE=bash_source weightgate-server)" && complete -p weightgate-server'
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip().endswith("weightgate-server")
