"""The command line: wrong use, streams, and what is never printed."""

import io
import json
import subprocess
import sys

import pytest

from client.tests.far_side import TOKEN, FarSide, Reply
from client.tests.partner import Partner


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{",
        b'{"id": 1}',
        b"[" * 200_000,
        b'{"a": 1, "a": 1}',
        b"1" * 5000,
    ],
)
def test_a_file_that_is_no_answer_is_wrong_use(partner: Partner, content: bytes) -> None:
    """Exit 2 and one line that says what RECEIPT should be."""
    outcome = partner.run("log", "verify", str(partner.save(content)))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("wrong use: RECEIPT is not a saved response")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("field", ["id", "record", "salt", "receipt", "files"])
@pytest.mark.parametrize("value", [None, 7, ""])
def test_an_answer_without_one_of_its_fields_is_named(
    far: FarSide, partner: Partner, field: str, value: object
) -> None:
    """A field that is missing or of another kind is wrong use; one that is empty is no better than refuted."""
    outcome = partner.verify_offline(far.issue() | {field: value})
    wrong = value != "" or field in {"id", "files"}
    assert outcome.code == (2 if wrong else 1)
    assert not wrong or f"`{field}`" in outcome.fields["sentence"]


def test_a_huge_file_is_wrong_use(partner: Partner) -> None:
    """No more than the limit is read."""
    outcome = partner.verify_offline(b" " * (16 * 1024 * 1024 + 1))
    assert (outcome.code, outcome.fields["code"]) == (2, "not_an_answer")


@pytest.mark.parametrize(
    "arguments",
    [
        ("log", "verify"),
        ("log", "verify", "no-such-file.json"),
        ("log", "verify", "."),
        ("log", "verify", "-", "--unknown"),
        ("log", "verifi"),
        ("unknown",),
        ("--unknown",),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(partner: Partner, arguments: tuple[str, ...]) -> None:
    """The line says what is wrong, and where the help is."""
    outcome = partner.run(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("wrong use: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--log-vkey", "nonsense"), "bad_vkey"),
        (("--receipt-vkey", "a+b+c"), "bad_vkey"),
        (("--token-file", "no-such-file"), "bad_token"),
        (("--endpoint", "http://weights.example.org"), "bad_endpoint"),
    ],
)
def test_an_option_that_cannot_be_meant_is_wrong_use(
    far: FarSide, partner: Partner, options: tuple[str, str], code: str
) -> None:
    """Keys, token files and endpoints are looked at before anything is sent."""
    outcome = partner.verify(far.issue(), *options)
    assert (outcome.code, outcome.fields["code"]) == (2, code)
    assert far.requests == []


def test_the_answer_may_come_from_standard_input(
    far: FarSide, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` reads what a pipe brings, and the endpoint may come from the environment."""
    answer = far.issue()
    far.seal()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(answer).encode())))
    monkeypatch.setenv("WEIGHTGATE_ENDPOINT", far.endpoint)
    assert partner.run("log", "verify", "-").code == 0


def test_the_token_may_come_from_a_file(far: FarSide, partner: Partner) -> None:
    """A token file wins over the environment; its last newline is not part of the token."""
    answer = far.issue()
    far.seal()
    partner.environment["WEIGHTGATE_TOKEN"] = "another"
    path = partner.folder / "token"
    path.write_text(f"{TOKEN}\n", encoding="ascii")
    assert partner.verify(answer).fields["code"] == "not_entitled"
    assert partner.verify(answer, "--token-file", str(path)).code == 0


def test_nothing_secret_is_printed(far: FarSide, partner: Partner) -> None:
    """Neither the token nor a signed URL is in any line, whatever happens, nor in the memory."""
    answer = far.issue()
    printed = []
    for change in ("unsealed", "sealed", "down", "bad receipt", "bad token"):
        if change == "sealed":
            far.seal()
        elif change == "down":
            far.answers["/api/v1/keys"] = Reply(status=500)
        elif change == "bad receipt":
            answer = answer | {"salt": "A"}
        elif change == "bad token":
            partner.environment["WEIGHTGATE_TOKEN"] = f"{TOKEN} {TOKEN}"
        outcome = partner.verify(answer)
        plain = partner.run("log", "verify", str(partner.save(answer)), "--endpoint", far.endpoint)
        printed += [outcome.out, outcome.err, plain.out, plain.err]
        assert outcome.code == plain.code
    everything = "".join(printed) + partner.memory.read_text(encoding="utf-8")
    assert TOKEN not in everything
    assert "signature=secret" not in everything


def test_json_has_the_same_as_the_line(far: FarSide, partner: Partner) -> None:
    """The fields are a promise to scripts."""
    answer = far.issue()
    far.seal()
    found = partner.verify(answer).fields
    assert found.pop("root")
    assert found.pop("sentence").startswith("Download ")
    assert found.pop("next_step")
    assert found == {
        "result": "proven", "code": "proven", "exit_code": 0, "download": answer["id"], "log": far.origin,
        "index": 0, "size": 1, "remembered_size": None, "promised_by": "2026-01-01T00:01:00.000Z",
        "retry_after_seconds": None, "evidence": [], "witnesses": [],
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"log_vkey": "x", "receipt_vkey": "y"}', b"A" * 65_537])
def test_an_address_that_is_no_weightgate_refutes_nothing(far: FarSide, partner: Partner, body: bytes) -> None:
    """A portal of a hotel that answers everything with its own page is not a log that lies: exit 3."""
    answer = far.issue()
    far.answers |= {path: Reply(body) for path in ("/api/v1/keys", "/log/checkpoint", far.proof_path(answer))}
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (3, "malformed_keys"), outcome.out


@pytest.mark.parametrize("body", [b"{}", b'{"manifest_public_key": "x"}', b'{"log_vkey": null, "receipt_vkey": null}'])
def test_a_server_without_keys_needs_them_given(far: FarSide, partner: Partner, body: bytes) -> None:
    """With the keys given, a server that shows none is as good."""
    answer = far.issue()
    far.seal()
    far.answers["/api/v1/keys"] = Reply(body)
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (3, "no_keys")
    assert partner.verify(answer, *partner.known_keys()).code == 0


def test_the_installed_command_ends_with_its_exit_code(partner: Partner, far: FarSide) -> None:
    """As a process of its own: one line, and the code that a script sees."""
    answer = far.issue()
    far.seal()
    command = [sys.executable, "-c", "from weightgate.cli import main; main()", "log", "verify"]
    command += [str(partner.save(answer)), "--endpoint", far.endpoint]
    ended = subprocess.run(command, env=partner.environment, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("proven: ")
