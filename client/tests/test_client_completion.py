"""Completion with the Tab key: commands, options, and the stages that can be downloaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.tests.far_side import FarSide, Reply
from client.tests.partner import Partner

STAGES = [
    {"name": "gpt-2/774M", "may_download": True}, {"name": "gpt-2/124M", "may_download": True},
    {"name": "gpt-2/1558M", "may_download": False}, {"name": "mini-gpt/base", "may_download": True},
]  # fmt: skip


@pytest.fixture
def environment(far: FarSide, partner: Partner) -> dict[str, str]:
    """Of a shell that finds `weightgate`, whose server lists four stages."""
    far.answers["/api/v1/stages?limit=200"] = Reply(json.dumps({"items": STAGES, "next_cursor": None}).encode())
    found = partner.folder / "bin"
    found.mkdir()
    program = found / "weightgate"
    program.write_text(f"#!{sys.executable}\nfrom weightgate.cli import main; main()\n")
    program.chmod(0o755)
    path = f"{found}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **partner.environment, "PATH": path, "WEIGHTGATE_ENDPOINT": far.endpoint}


def completed(environment: dict[str, str], *words: str) -> set[str]:
    """What a real bash with the printed script offers for the last word."""
    script = (
        'eval "$(weightgate completion bash)"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_weightgate_completion weightgate; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    command = ["bash", "-c", script, "bash", "weightgate", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_stages(environment: dict[str, str]) -> None:
    assert completed(environment, "dow") == {"download"}
    assert {"--to", "--jobs", "--from"} <= completed(environment, "download", "--")
    assert completed(environment, "download", "gpt-2/") == {"gpt-2/774M", "gpt-2/124M"}
    assert completed(environment, "download", "") == {"gpt-2/774M", "gpt-2/124M", "mini-gpt/base"}


def test_a_server_that_is_away_completes_nothing(environment: dict[str, str]) -> None:
    """And prints nothing into the line that is being typed."""
    assert completed(environment | {"WEIGHTGATE_ENDPOINT": "http://127.0.0.1:9"}, "download", "gpt") == set()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_their_scripts(environment: dict[str, str], shell: str, tmp_path: Path) -> None:
    """The script names the program and asks it as that shell does; the answer has the stages."""
    run = {"env": environment, "capture_output": True, "text": True, "timeout": 60, "check": True}
    script = subprocess.run(["weightgate", "completion", shell], **run).stdout  # type: ignore[call-overload]
    assert f"_WEIGHTGATE_COMPLETE={shell}_complete" in script
    words = {"COMP_WORDS": "weightgate download gpt-2/7", "COMP_CWORD": "2" if shell == "zsh" else "gpt-2/7"}
    run["env"] = environment | words | {"_WEIGHTGATE_COMPLETE": f"{shell}_complete"}
    assert "gpt-2/774M" in subprocess.run(["weightgate"], **run).stdout  # type: ignore[call-overload]


def test_an_unknown_shell_is_wrong_use(partner: Partner) -> None:
    done = partner.run("completion", "tcsh")
    assert (done.code, "bash" in done.err) == (2, True)


def test_the_help_shows_the_line_of_each_shell(environment: dict[str, str]) -> None:
    """Each on a line of its own, to be copied; nothing that click reads as a mark is printed."""
    done = subprocess.run(
        ["weightgate", "completion", "--help"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert 'bash, in ~/.bashrc:                  eval "$(weightgate completion bash)"' in lines
    assert "fish, in ~/.config/fish/config.fish: weightgate completion fish | source" in lines
    assert "\\b" not in done.stdout
