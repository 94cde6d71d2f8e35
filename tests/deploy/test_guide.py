"""deploy/README.md as a program: it can be parsed, and its first partner is let in. `make faults` runs all of it."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.cli.worked_example import AGREEMENT_FILE
from server.example import mini_gpt
from server.storage import keys
from server.storage.embedded import EmbeddedStore
from tests import guide
from tests.cli.conftest import newcomer
from tests.cli.operator import Operator
from tests.guide import Step, masked

SERVER = "weightgate-server "
__all__ = ["newcomer"]  # a fixture of the tests of commands


def chapter(name: str) -> list[Step]:
    return [step for step in guide.steps() if step.chapter == name]


def test_every_chapter_with_commands_is_read() -> None:
    """The parser sees the blocks of the guide, here-documents, continued lines and shown outputs included."""
    first = {step.chapter: step for step in reversed(guide.steps())}
    assert {"Install", "Create the instance", "Start", "First partner", "The log", "Upgrade"} <= set(first)
    assert first["Create the instance"].command.startswith("runuser -u postgres -- psql -q <<'END'\nCREATE ROLE")
    assert first["Create the instance"].command.endswith("\nEND")
    assert first["First partner"].output == "Added tier research with rank 20."
    (init,) = [step for step in guide.steps() if "--anchor-bucket" in step.command]
    assert init.command.count("\\\n") == 4


def test_no_command_is_in_a_block_that_is_not_run() -> None:
    """Each block says what it is, and only those of commands begin a line with a program that the guide runs."""
    programs = {step.command.split()[0] for step in guide.steps()} - {"echo", "export"}
    assert {"weightgate-server", "weightgate", "install", "systemctl"} <= programs
    for block in guide.blocks():
        assert block.kind, block.first
        if block.kind not in {"sh", "console"}:
            begun = {line.split()[0] for line in block.lines if line.strip()}
            assert begun & programs == set(), block.first


@pytest.mark.parametrize(("text", "shown"), [
    ("Token bbZz, shown only once:\nwgk_aB_cD", ["Token (id), shown only once:", "wgk_…"]),
    ("  password     abc\n  TOTP secret  DEF", ["password (secret)", "TOTP secret (secret)"]),
    ("until 2027-01-31T12:00:00Z", ["until (time)"]),
])  # fmt: skip
def test_what_differs_from_run_to_run_is_masked(text: str, shown: list[str]) -> None:
    """Ids, secrets and times; the words between them count."""
    assert masked(text) == shown


def test_the_first_partner_is_let_in_and_a_leak_is_stopped(
    newcomer: Operator, unmarked_store: EmbeddedStore, tmp_path: Path
) -> None:
    """The commands of these chapters, in their order, print what the guide shows."""
    mini_gpt.write(tmp_path / "tiny-base", "base", 1)
    (tmp_path / "signed.pdf").write_bytes(b"%PDF-1.7 signed")
    for name in ("why.md", "would-change.md"):  # as the guide's two lines for a shell write them
        (tmp_path / name).write_text("Partners study it before anyone else can have it.\n")
    places = {
        "/opt/weightgate/config/agreements/model-sharing.md": str(AGREEMENT_FILE), "/srv": str(tmp_path),
        "$(date -u -I)": f"{datetime.now(UTC):%Y-%m-%d}",
    }  # fmt: skip
    passwords = begun(newcomer, unmarked_store, tmp_path)
    steps = [step for step in chapter("First partner") if step.command.startswith(SERVER)]
    leak = [step for step in chapter("Something leaked: stop it now") if step.output is not None]
    assert (len(steps) > 10, len(leak)) == (True, 3)
    for step in steps[:-1] + leak:  # the partner's last one, `log verify`, needs a worker
        command = step.command.replace("\\\n", " ")
        for place, here in places.items():
            command = command.replace(place, here)
        *arguments, flag, email = shlex.split(command)[1:]
        assert flag == "--as"
        newcomer.people[email] = {"email": email, "password": passwords[email]}
        answer = newcomer(*arguments, by=email)
        passwords |= dict(re.findall(r"Added (\S+)\. Hand .*\n +password +(\S+)", answer.out))
        shown = str(step.output).replace("https://weights.example.org", "http://localhost:8080")
        assert masked(answer.out) == masked(shown), step


def begun(newcomer: Operator, store: EmbeddedStore, folder: Path) -> dict[str, str]:
    """An instance of the guide's two admins; returns their passwords."""
    options = []
    for name in ("signer", "publisher"):
        keys.write_s3_credentials(folder / f"{name}.json", keys.read_s3_credentials(getattr(store, f"{name}_key_file")))
        options += [f"--{name}-key", str(folder / f"{name}.json")]
    body = newcomer(
        "init", "--public-url", "http://localhost:8080", "--contact", "clearance@example.org", "--lab-name", "Lab",
        "--admin", "ada@example.org", "--admin", "ben@example.org", "--s3-endpoint-url", store.endpoint_url,
        "--s3-addressing", "path", *options, "--json",
    ).body  # fmt: skip
    return {admin["email"]: admin["password"] for admin in body["admins"]}
