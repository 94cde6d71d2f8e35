"""`weightgate findings report`: what is sent, and which exit code says what became of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from client.tests.far_side import TOKEN, FarSide, Reply
from client.tests.partner import Outcome, Partner
from weightgate.findings import PATH

FOUND = {"id": 7, "stage": "gpt-2/774M", "state": "open"}
GIVEN = ("--stage", "gpt-2/774M", "--kind", "bias", "--severity", "high", "--title", "A title")


def reported(partner: Partner, *options: str, given: tuple[str, ...] = GIVEN, text: bytes = b"What we saw.") -> Outcome:
    file = partner.save(text, "text.md")
    return partner.run(
        "findings", "report", "--endpoint", partner.far.endpoint, *given, "--text-file", str(file), *options
    )  # fmt: skip


def answers(far: FarSide, status: int, body: Any) -> None:
    far.answers[PATH] = Reply(body if isinstance(body, bytes) else json.dumps(body).encode(), status)


def test_a_report_is_sent_as_it_was_given(far: FarSide, partner: Partner) -> None:
    """With the token, once, and nothing else in it; the line names the finding."""
    answers(far, 201, FOUND)
    done = reported(partner, "--checkpoint", "main", "--embargo-until", "2027-01-31", "--may-publish", "--may-name")
    assert (done.code, done.out) == (0, "reported: finding 7 on gpt-2/774M is open.\n")
    assert far.requests == [(PATH, f"Bearer {TOKEN}")]
    assert json.loads(far.sent[0]) == {
        "stage": "gpt-2/774M", "kind": "bias", "severity": "high", "title": "A title", "text": "What we saw.",
        "checkpoint": "main", "embargo_until": "2027-01-31", "may_publish": True, "may_name": True,
    }  # fmt: skip


def test_nothing_found_needs_no_severity(far: FarSide, partner: Partner) -> None:
    """It is none; for any other kind somebody has to say."""
    answers(far, 201, FOUND)
    kind = ("--stage", "gpt-2/774M", "--title", "A title", "--kind")
    assert reported(partner, given=(*kind, "nothing_found")).code == 0
    assert json.loads(far.sent[0])["severity"] == "none"
    assert reported(partner, given=(*kind, "bias")).code == 2


def test_a_script_gets_the_server_s_answer(far: FarSide, partner: Partner) -> None:
    """On standard output, also when it is a refusal."""
    answers(far, 201, FOUND)
    assert reported(partner, "--json").fields == FOUND
    answers(far, 409, {"detail": "You reported this already, as finding 7."})
    refused = reported(partner, "--json")
    assert (refused.code, refused.fields["detail"]) == (1, "You reported this already, as finding 7.")


def test_a_refusal_is_one_line(far: FarSide, partner: Partner) -> None:
    """What it was and what to do, whatever line breaks a server puts into it."""
    answers(far, 403, {"detail": "No\naccess.", "next_step": "Ask."})
    refused = reported(partner)
    assert (refused.code, refused.out, refused.err) == (1, "", "refused: No access. Ask.\n")


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"<html>"), (201, b"[]"), (201, {}), (200, FOUND), (503, {"detail": "x"})]
)
def test_an_answer_that_says_nothing_is_not_taken_for_one(
    far: FarSide, partner: Partner, status: int, body: Any
) -> None:
    """Whether it arrived cannot be told: sending it again does no harm."""
    answers(far, status, body)
    told = reported(partner)
    assert told.code == 3
    assert "Run the same command again" in told.err


WRONG: dict[str, tuple[tuple[str, ...], bytes]] = {
    "a kind that there is not": ((*GIVEN, "--kind", "rumor"), b"a"),
    "no text": (GIVEN, b"\xff"),
    "far too much": (GIVEN, b"a" * 500_001),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_use_sends_nothing(far: FarSide, partner: Partner, what: str) -> None:
    """Exit code 2 and one line."""
    given, text = WRONG[what]
    told = reported(partner, given=given, text=text)
    assert (told.code, far.sent, len(told.err.splitlines())) == (2, [], 1)


def test_a_report_needs_a_server_and_a_token(far: FarSide, partner: Partner, tmp_path: Path) -> None:
    """Both are said how to give."""
    (tmp_path / "text.md").write_text("Text.")
    bare = ("findings", "report", *GIVEN, "--text-file", str(tmp_path / "text.md"))
    assert "--endpoint" in partner.run(*bare).err
    del partner.environment["WEIGHTGATE_TOKEN"]
    told = partner.run(*bare, "--endpoint", far.endpoint)
    assert (told.code, far.sent) == (2, [])
    assert "WEIGHTGATE_TOKEN" in told.err


ATTACHING, STORED, COMPLETING = f"{PATH}/7/attachments", "/store/key", f"{PATH}/7/attachments/3/complete"


def attaches(far: FarSide, **changed: Reply) -> None:
    """The far side takes a report and a file, but for what is changed."""
    slot = {"id": 3, "url": f"{far.endpoint}{STORED}?signature=secret", "headers": {"x-amz-checksum-sha256": "abc"}}
    answers(far, 201, FOUND)
    far.answers[ATTACHING] = Reply(json.dumps(slot).encode(), 201)
    far.answers[f"{STORED}?signature=secret"] = changed.get("store", Reply())
    far.answers[COMPLETING] = changed.get("complete", Reply(json.dumps({"id": 3}).encode()))


def test_a_file_goes_to_the_store_without_the_token(far: FarSide, partner: Partner) -> None:
    """Announced with its hash, put where the server says, and completed."""
    attaches(far)
    file = partner.save(b"a,b\n", "counts.csv")
    assert reported(partner, "--attach", str(file)).code == 0
    assert [path for path, _ in far.requests] == [PATH, ATTACHING, f"{STORED}?signature=secret", COMPLETING]
    assert [token is None for _, token in far.requests] == [False, False, True, False]
    assert json.loads(far.sent[1])["size_bytes"] == 4
    assert far.sent[2] == b"a,b\n"


def test_a_file_that_is_refused_is_said_after_the_report(far: FarSide, partner: Partner) -> None:
    """The finding is there: its line says so, and the exit code that not all of it is."""
    attaches(far, complete=Reply(json.dumps({"detail": "The file was refused: it is a page."}).encode(), 400))
    told = reported(partner, "--attach", str(partner.save(b"<html>", "a.txt")))
    assert (told.code, told.out.startswith("reported: finding 7")) == (1, True)
    assert "a.txt was not attached: refused: The file was refused" in told.err
    attaches(far, store=Reply(status=403))
    told = reported(partner, "--attach", str(partner.save(b"a", "a.txt")))
    assert (told.code, "did not take the file" in told.err) == (3, True)
    assert "secret" not in told.err + told.out


def test_files_are_attached_to_a_finding_that_is_there(far: FarSide, partner: Partner) -> None:
    """One after the other; the first that is refused is the last, and its line says why."""
    attaches(far)
    files = [str(partner.save(b"a,b\n", name)) for name in ("a.csv", "b.csv")]
    assert partner.run("findings", "attach", "--endpoint", far.endpoint, "7", *files).code == 0
    assert [path for path, _ in far.requests] == [ATTACHING, f"{STORED}?signature=secret", COMPLETING] * 2
    far.answers[ATTACHING] = Reply(json.dumps({"detail": "Finding 7 is closed."}).encode(), 409)
    told = partner.run("findings", "attach", "--endpoint", far.endpoint, "7", *files)
    assert (told.code, told.err) == (1, f"{files[0]} was not attached: refused: Finding 7 is closed.\n")
    assert len(far.requests) == 7


@pytest.mark.parametrize("given", [("x", "a.csv"), ("0", "a.csv"), ("7",)])
def test_attaching_needs_a_number_and_a_file(far: FarSide, partner: Partner, given: tuple[str, ...]) -> None:
    """Anything else sends nothing."""
    told = partner.run("findings", "attach", "--endpoint", far.endpoint, *given)
    assert (told.code, far.requests) == (2, [])


def test_a_file_is_never_sent_to_an_unsafe_place(far: FarSide, partner: Partner) -> None:
    """Over plain HTTP to another machine, or to a local file."""
    for url in ("http://store.example/x", "file:///tmp/x", "x"):
        attaches(far)
        far.answers[ATTACHING] = Reply(json.dumps({"id": 3, "url": url, "headers": {}}).encode(), 201)
        told = reported(partner, "--attach", str(partner.save(b"a", "a.txt")))
        assert (told.code, "not safe" in told.err) == (3, True)
