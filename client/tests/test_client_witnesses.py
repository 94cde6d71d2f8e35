"""`weightgate log verify --witness`: k of n outside witnesses must have cosigned the head that has the entry."""

import pytest

from client.tests.far_side import START, FarSide, Reply
from client.tests.partner import Outcome, Partner
from client.tests.slow_log import Cosigner

W1, W2, W3 = (Cosigner(f"witness.example/w{number}", b"w%d" % number) for number in (1, 2, 3))


def show(far: FarSide, answer: dict[str, object], *lines: str) -> None:
    """Have the proof carry these lines under its head."""
    far.answers[far.proof_path(answer)] = Reply((far.proof(str(answer["id"])) + "".join(lines)).encode())


def demand(partner: Partner, answer: object, *witnesses: Cosigner, required: int | None = None) -> Outcome:
    options = [part for witness in witnesses for part in ("--witness", witness.vkey)]
    return partner.verify(answer, *options, *(() if required is None else ("--witnesses-required", str(required))))


@pytest.mark.parametrize("required", [None, 1, 2])
def test_enough_cosignatures_prove_and_are_told_with_their_time(
    far: FarSide, partner: Partner, required: int | None
) -> None:
    """All of those that are named, or as many as are demanded; by name, in the words and in JSON."""
    answer = far.issue()
    far.seal()
    lines = [W1.line(far.head(), int(START) - 70), W2.line(far.head(), int(START))]
    show(far, answer, *lines)
    outcome = demand(partner, answer, W1, W2, required=required)
    assert outcome.code == 0, outcome.out
    assert outcome.fields["witnesses"] == [
        {"name": W1.name, "at": "2025-12-31T23:58:50Z"},
        {"name": W2.name, "at": "2026-01-01T00:00:00Z"},
    ]
    assert f"Cosigned by {W1.name} on 2025-12-31T23:58:50Z, {W2.name}" in outcome.fields["sentence"]


def test_too_few_cosignatures_are_no_proof(far: FarSide, partner: Partner) -> None:
    """Not refuted either: a witness may be slow. Whom the user does not name does not count."""
    answer = far.issue()
    far.seal()
    show(far, answer, W1.line(far.head(), int(START)), W3.line(far.head(), int(START)))
    outcome = demand(partner, answer, W1, W2)
    assert (outcome.code, outcome.fields["code"]) == (3, "not_witnessed")
    assert "1 of the 2" in outcome.fields["sentence"]
    assert f"{W1.name} on 2026-01-01T00:00:00Z" in outcome.fields["sentence"]
    assert demand(partner, answer, W1, W2, required=1).code == 0


def test_a_cosignature_of_the_future_does_not_count(far: FarSide, partner: Partner) -> None:
    """A minute's difference between two clocks does."""
    answer = far.issue()
    far.seal()
    show(far, answer, W1.line(far.head(), int(START) + 61))
    assert demand(partner, answer, W1).fields["code"] == "not_witnessed"
    show(far, answer, W1.line(far.head(), int(START) + 60))
    assert demand(partner, answer, W1).code == 0


def test_a_cosignature_of_another_head_is_refuted(far: FarSide, partner: Partner) -> None:
    """A server cannot put a witness's older word, or another log's, under the head that it shows."""
    first = far.issue()
    far.seal()
    older = far.head()
    answer = far.issue()
    far.seal()
    assert first["id"] != answer["id"]
    show(far, answer, W1.line(older, int(START)))
    outcome = demand(partner, answer, W1)
    assert (outcome.code, outcome.fields["code"]) == (1, "cosignature_not_valid")
    show(far, answer, W1.line(far.head(), int(START)), W2.line(older, int(START)))
    assert demand(partner, answer, W1, W2, required=1).code == 1  # a forgery of a witness that is named, at any number


def test_an_impostor_with_the_witness_s_name_does_not_count(far: FarSide, partner: Partner) -> None:
    """Its key's id is another."""
    answer = far.issue()
    far.seal()
    show(far, answer, Cosigner(W1.name, b"impostor").line(far.head(), int(START)))
    assert demand(partner, answer, W1).fields["code"] == "not_witnessed"


def test_a_demand_is_remembered_until_another_is_made(far: FarSide, partner: Partner) -> None:
    """So it cannot be forgotten on the command line; `log forget` ends it."""
    answer = far.issue()
    far.seal()
    show(far, answer, W1.line(far.head(), int(START)))
    assert demand(partner, answer, W1).code == 0
    del far.answers[far.proof_path(answer)]
    assert partner.verify(answer).fields["code"] == "not_witnessed"
    assert demand(partner, answer, W2).fields["code"] == "not_witnessed"
    show(far, answer, W2.line(far.head(), int(START)))
    assert partner.verify(answer).code == 0
    assert partner.run("log", "forget", far.origin).code == 0
    del far.answers[far.proof_path(answer)]
    assert partner.verify(answer).code == 0


def test_without_a_demand_cosignatures_change_nothing(far: FarSide, partner: Partner) -> None:
    """Also none that is not valid: they are of keys that this user does not know."""
    answer = far.issue()
    far.seal()
    show(far, answer, W1.line("another text\n\n", int(START)))
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["witnesses"]) == (0, [])


def bad_id(vkey: str) -> str:
    name, _, key = vkey.split("+", 2)
    return f"{name}+00000000+{key}"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--witness", "w1"), "bad_vkey"),
        (("--witness", bad_id(W1.vkey)), "bad_vkey"),
        (("--witness", W1.vkey, "--witness", W1.vkey), "one_witness"),
        (("--witness", W1.vkey, "--witnesses-required", "2"), "bad_number"),
        (("--witness", W1.vkey, "--witnesses-required", "0"), "bad_number"),
        (("--witnesses-required", "1"), "no_witness"),
    ],
)
def test_a_demand_that_cannot_be_is_wrong_use(
    far: FarSide, partner: Partner, options: tuple[str, ...], code: str
) -> None:
    """Before anybody is asked."""
    outcome = partner.verify(far.issue(), *options)
    assert (outcome.code, outcome.fields["code"]) == (2, code)
    assert far.requests == []


def test_a_log_s_key_is_no_witness(far: FarSide, partner: Partner) -> None:
    """The log cannot vouch for itself."""
    outcome = partner.verify(far.issue(), "--witness", far.log_signer.vkey)
    assert (outcome.code, outcome.fields["code"]) == (2, "bad_vkey")
