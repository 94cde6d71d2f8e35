"""`weightgate log verify` against an honest server: proven, and not yet."""

import pytest

from client.tests.far_side import MMD_SECONDS, START, FarSide, Reply
from client.tests.partner import Partner
from client.tests.slow_log import sha256

UNREACHABLE = "http://127.0.0.1:1"


def test_a_receipt_is_proven_at_every_small_size(far: FarSide, partner: Partner) -> None:
    """From 1 entry to 70 each new receipt is proven, and each head continues the one remembered before."""
    for size in range(1, 71):
        answer = far.issue()
        far.seal()
        outcome = partner.verify(answer)
        assert outcome.code == 0, outcome.out
        found = outcome.fields
        assert (found["index"], found["size"]) == (size - 1, size)
        assert found["remembered_size"] == (size - 1 or None)


def test_a_receipt_is_proven_across_tiles(far: FarSide, partner: Partner) -> None:
    """The first, a middle and the last receipt of logs of 300 and 70,000 entries are proven, with a memory between."""
    answers = [far.issue()]
    far.seal()
    assert partner.verify(answers[0]).code == 0
    for size in (300, 70_000):
        far.grow(size // 2)
        answers.append(far.issue())
        far.grow(size - 1)
        answers.append(far.issue())
        far.seal()
        for answer in answers:
            outcome = partner.verify(answer)
            assert outcome.code == 0, outcome.out
            assert outcome.fields["size"] == size
    assert far.sealed == 70_000


def test_a_log_that_grows_between_two_requests_is_proven(far: FarSide, partner: Partner) -> None:
    """The proof may lead to an older head than the newest, when the newest continues it."""
    answer = far.issue()
    far.seal()
    earlier = far.proof(answer["id"])
    far.grow(5)
    far.seal()
    far.answers[far.proof_path(answer)] = Reply(earlier.encode())
    assert partner.verify(answer).code == 0


def test_a_partial_tile_may_have_become_a_full_one(far: FarSide, partner: Partner) -> None:
    """A log may drop a partial tile once it is full: the client reads the full one instead."""
    first = far.issue()
    far.grow(200)
    far.seal()
    assert partner.verify(first).code == 0
    second = far.issue()
    far.seal()
    head = Reply(far.head().encode())
    proof = Reply(far.proof(second["id"]).encode())
    far.grow(256)
    far.seal()
    far.answers |= {"/log/checkpoint": head, far.proof_path(second): proof}
    far.answers["/log/tile/0/000.p/201"] = Reply(status=404)
    assert partner.verify(second).code == 0
    assert "/log/tile/0/000" in [path for path, _ in far.requests]


def test_the_line_says_what_was_proven_and_what_to_do(far: FarSide, partner: Partner) -> None:
    """Without --json there is one line, on standard output; later uses say what they continue."""
    answer = far.issue()
    far.seal()
    command = ("log", "verify", str(partner.save(answer)), "--endpoint", far.endpoint)
    first, second = partner.run(*command), partner.run(*command)
    where = f"proven: Download {answer['id']} is entry 0 of the log {far.origin}, whose 1 entries"
    assert first.out.startswith(f"{where} were seen for the first time. Keys and head are now remembered")
    assert second.out == f"{where} continue the 1 seen before. There is nothing else to do.\n"
    assert first.out.count("\n") == 1
    assert first.err == second.err == ""


def test_an_entry_that_is_not_sealed_yet_cannot_be_told(far: FarSide, partner: Partner) -> None:
    """Within the promised time exit 3, with the seconds that are left; until its last moment."""
    answer = far.issue()
    outcome = partner.verify(answer)
    assert outcome.code == 3
    assert (outcome.fields["code"], outcome.fields["retry_after_seconds"]) == ("not_sealed", 1)
    assert outcome.fields["promised_by"] == "2026-01-01T00:01:00.000Z"
    assert "within 60 s" in outcome.fields["sentence"]
    far.now = START + MMD_SECONDS
    assert partner.verify(answer).code == 3


def test_a_promise_that_is_not_kept_is_refuted(far: FarSide, partner: Partner) -> None:
    """After the promised time an entry that is not sealed is refuted; so is a download that the server denies."""
    answer = far.issue()
    far.now = START + MMD_SECONDS + 0.001
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (1, "promise_broken")
    assert "broke its promise" in outcome.fields["sentence"]
    far.answers[far.proof_path(answer)] = Reply(status=404)
    denied = partner.verify(answer)
    assert (denied.code, denied.fields["code"]) == (1, "promise_broken")
    assert "does not know this download" in denied.fields["sentence"]


def test_a_download_that_is_denied_in_time_is_not_refuted(far: FarSide, partner: Partner) -> None:
    """Within the promised time a 404 may only mean another organization's token."""
    answer = far.issue()
    far.answers[far.proof_path(answer)] = Reply(status=404)
    assert partner.verify(answer).fields["code"] == "unknown_download"


def test_a_receipt_from_the_future_points_at_the_clock(far: FarSide, partner: Partner) -> None:
    """While it is not sealed, a date more than a minute ahead is said; once it is sealed, no clock matters."""
    answer = far.issue()
    far.now = START - 61
    assert (partner.verify(answer).code, partner.verify(answer).fields["code"]) == (3, "from_the_future")
    far.seal()
    assert partner.verify(answer).code == 0


def test_a_head_is_remembered_also_when_the_entry_is_not_sealed(far: FarSide, partner: Partner) -> None:
    """What a waiting partner saw of the log binds the log from then on."""
    far.grow(4)
    far.seal()
    answer = far.issue()
    assert partner.verify(answer).code == 3
    far.sealed = 3
    assert partner.verify(answer).fields["code"] == "rolled_back"


def test_a_server_that_does_not_answer_refutes_nothing(far: FarSide, partner: Partner) -> None:
    """With the server down a good receipt gives 3, and a bad one 1, with known keys or with none."""
    answer = far.issue()
    bad = answer | {"salt": far.issue()["salt"]}
    for options in ((), partner.known_keys()):
        good = partner.verify(answer, *options, endpoint=UNREACHABLE)
        assert (good.code, good.fields["code"]) == (3, "unreachable")
        assert partner.verify(bad, *options, endpoint=UNREACHABLE).code == 1
    forged = answer | {"receipt": far.receipt(sha256(b"\x00" + far.tree.entries[0]), far.log_signer)}
    assert partner.verify(forged, *partner.known_keys(), endpoint=UNREACHABLE).code == 1


@pytest.mark.parametrize("path", ["/api/v1/keys", "/log/checkpoint", "proof"])
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_answer_without_content_refutes_nothing_in_time(
    far: FarSide, partner: Partner, path: str, status: int
) -> None:
    """Whatever route fails, however: exit 3, one line that says so."""
    answer = far.issue()
    far.seal()
    far.answers[far.proof_path(answer) if path == "proof" else path] = Reply(status=status)
    outcome = partner.verify(answer)
    assert outcome.code == 3, outcome.out


def test_without_a_server_nothing_is_proven(far: FarSide, partner: Partner) -> None:
    """Offline a good receipt gives 3 and says what was checked: the signature only when its key is known."""
    answer = far.issue()
    far.seal()
    blind = partner.verify_offline(answer)
    assert (blind.code, blind.fields["code"]) == (3, "no_endpoint")
    assert "no key is known" in blind.fields["sentence"]
    for options in (partner.known_keys(), ()):
        told = partner.verify_offline(answer, *options)
        assert told.code == 3
        assert ("is genuine" in told.fields["sentence"]) == bool(options)
    assert partner.verify(answer).code == 0
    assert "is genuine" in partner.verify_offline(answer).fields["sentence"]  # by the key remembered


def test_a_receipt_of_last_year_is_proven_in_the_earlier_log(far: FarSide, partner: Partner) -> None:
    """When the server has begun a new log, the earlier one is read under its name, with the keys known before."""
    answer = far.issue()
    far.seal()
    assert partner.verify(answer).code == 0
    far.grow(9)
    far.seal()
    next_year = FarSide("weights.example.org/downloads/2027", b"next")
    try:
        next_year.seal()
        far.prefix = "/log/2026"
        far.answers["/log/checkpoint"] = next_year.reply("/log/checkpoint", None)
        far.answers["/api/v1/keys"] = next_year.reply("/api/v1/keys", None)
    finally:
        next_year.close()
    outcome = partner.verify(answer)
    assert outcome.code == 0, outcome.out
    assert "/log/2026/tile/0/000.p/9" in [path for path, _ in far.requests]
    partner.memory.unlink()
    assert partner.verify(answer).fields["code"] == "no_keys"
    assert partner.verify(answer, *partner.known_keys()).code == 0
