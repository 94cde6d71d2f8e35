"""The API as its description tells it, tried by schemathesis: what is valid is taken, what is not is refused."""

import subprocess
import sys
from pathlib import Path

from tests.attached import attached
from tests.e2e.serving import served
from tests.findings import report
from tests.world import World

CASES_AN_OPERATION = 10
SECONDS_AT_MOST = 240
# Nobody guesses a name that is there: with these, what is behind it is tried as well.
REAL = """
[parameters]
"path.model" = "mini-gpt"
"path.stage" = "base"
"path.checkpoint" = "main"
"path.download_id" = "{download_id}"
"path.finding_id" = {finding_id}
"path.attachment_id" = {attachment_id}
"""


# As OAuth has it, a code that nobody was given and a scope that does not exist are a 400 of their own (RFC 6749, 5.2).
OAUTH = """
[[operations]]
include-path-regex = "^/api/v1/device-logins"
[operations.checks.positive_data_acceptance]
expected-statuses = ["200", "400", "429"]
"""
ROLES = {"cleared": REAL + OAUTH, "auditor": OAUTH, "admin": REAL + OAUTH}


def test_the_server_does_what_the_description_says(sqlite_world: World, tmp_path: Path) -> None:
    """For a partner, an auditor and an admin no check of any operation fails, on the real server.

    So no bound is enforced that is not told, and no answer has another form than the described one.
    """
    world = sqlite_world
    issued = world.api("POST", "/downloads", json={"stage": "mini-gpt/base"}).json["id"]
    finding = report(world, stage="mini-gpt/base")
    file = attached(world, finding).id
    world.seal()
    with served(world) as server:
        for role, names in ROLES.items():
            (tmp_path / "schemathesis.toml").write_text(
                names.format(download_id=issued, finding_id=finding, attachment_id=file)
            )
            ended = tried(f"http://127.0.0.1:{server.port}", world.example.tokens[role], tmp_path)
            assert ended.returncode == 0, role + ended.stdout + ended.stderr


def tried(address: str, token: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Have every operation tried with one token: each bound by itself, then what chance brings; always the same.

    By one worker: in two threads, Python 3.11's own parser, which schemathesis uses, fails now and then.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run",
        f"{address}/api/v1/openapi.json", "--origin", address, "--header", f"Authorization: Bearer {token}",
        "--checks", "all", "--phases", "coverage,fuzzing", "--max-examples", str(CASES_AN_OPERATION), "--seed", "9",
        "--no-shrink", "--continue-on-failure", "--workers", "1", "--suppress-health-check", "all",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS_AT_MOST, check=False)
