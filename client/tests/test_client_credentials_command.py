"""`weightgate credentials`: keys for S3 tools, in the form of their credential_process; a refusal on standard error."""

import json

import pytest

from client.tests.far_side import TOKEN, FarSide, Reply
from client.tests.partner import Partner

PATH = "/api/v1/credentials/gpt-2/774M"
KEYS = {"AccessKeyId": "WGS1", "SecretAccessKey": "s", "Token": "weightgate", "Expiration": "2030-01-01T00:00:00Z"}


def test_keys_are_printed_as_aws_tools_read_them(far: FarSide, partner: Partner) -> None:
    """Version 1, and the session token under its name there; the token goes to the server and nowhere else."""
    far.answers[PATH] = Reply(json.dumps(KEYS).encode())
    outcome = partner.run("credentials", "gpt-2/774M", "--endpoint", far.endpoint)
    expected = {"Version": 1, "AccessKeyId": "WGS1", "SecretAccessKey": "s", "SessionToken": "weightgate"}
    assert (outcome.code, outcome.fields) == (0, expected | {"Expiration": "2030-01-01T00:00:00Z"})
    assert far.requests[-1] == (PATH, f"Bearer {TOKEN}")
    assert TOKEN not in outcome.out + outcome.err


def test_a_refusal_is_a_sentence_on_standard_error(far: FarSide, partner: Partner) -> None:
    """That is what aws shows of it; nothing is on standard output that it could take for keys."""
    problem = {"code": "not_cleared", "title": "t", "detail": "Not cleared.", "next_step": "Ask for it."}
    headers = {"Content-Type": "application/problem+json"}
    far.answers[PATH] = Reply(json.dumps(problem).encode(), 403, headers)
    outcome = partner.run("credentials", "gpt-2/774M", "--endpoint", far.endpoint)
    assert (outcome.code, outcome.out) == (1, "")
    assert "Not cleared." in outcome.err
    assert "Ask for it." in outcome.err


@pytest.mark.parametrize("stage", ["774M", "gpt-2/774M/x", "../x", "gpt-2/", ""])
def test_what_is_no_stage_is_wrong_use(far: FarSide, partner: Partner, stage: str) -> None:
    """The server is not asked."""
    outcome = partner.run("credentials", stage, "--endpoint", far.endpoint)
    assert (outcome.code, outcome.out) == (2, "")
    assert far.requests == []


def test_an_answer_without_keys_is_none(far: FarSide, partner: Partner) -> None:
    """Nobody can tell then."""
    far.answers[PATH] = Reply(b"{}")
    outcome = partner.run("credentials", "gpt-2/774M", "--endpoint", far.endpoint)
    assert (outcome.code, outcome.out) == (3, "")
