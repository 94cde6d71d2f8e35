"""The memory: what a log once showed to a partner binds it."""

import json
import stat
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from client.tests.far_side import FarSide, Reply
from client.tests.partner import Partner
from client.tests.slow_log import SlowTree, sha256
from weightgate import state


@pytest.fixture
def seen(far: FarSide, partner: Partner) -> dict[str, object]:
    """A proven answer of a log of 20 entries, which the partner remembers."""
    answer = far.issue()
    far.grow(20)
    far.seal()
    assert partner.verify(answer).code == 0
    return answer


def _fork(far: FarSide, size: int) -> None:
    """The same log with another entry 10 under the partner's own: good proofs, good signatures, another history."""
    entries = [*far.tree.entries[:10], sha256(b"swapped"), *far.tree.entries[11:]]
    far.tree = SlowTree(entries)
    far.grow(size)
    far.seal()


def test_a_log_that_was_rolled_back_is_refuted(far: FarSide, partner: Partner, seen: dict[str, object]) -> None:
    """A head with fewer entries than remembered is refused, and the memory keeps the larger one."""
    before = partner.memory.read_bytes()
    far.sealed = 19
    outcome = partner.verify(seen)
    assert (outcome.code, outcome.fields["code"]) == (1, "rolled_back")
    assert [text.split("\n")[1] for text in outcome.fields["evidence"]] == ["20", "19"]
    assert partner.memory.read_bytes() == before


@pytest.mark.parametrize("size", [20, 21, 32, 300])
def test_a_forked_log_is_refuted(far: FarSide, partner: Partner, seen: dict[str, object], size: int) -> None:
    """Another history under a good signature is refused at the same size and at larger ones; both heads are shown."""
    before = partner.memory.read_bytes()
    _fork(far, size)
    outcome = partner.verify(seen)
    assert (outcome.code, outcome.fields["code"]) == (1, "forked")
    assert outcome.fields["evidence"][1] == far.head()
    assert outcome.fields["evidence"][0] in json.dumps(json.loads(before), ensure_ascii=False).replace("\\n", "\n")
    assert partner.memory.read_bytes() == before


def test_a_fork_shows_to_whoever_remembers_only(far: FarSide, partner: Partner, seen: dict[str, object]) -> None:
    """Without its memory the client accepts the other history: that is what the memory is for."""
    _fork(far, 21)
    assert partner.verify(seen).code == 1
    partner.memory.unlink()
    assert partner.verify(seen).code == 0


@pytest.mark.parametrize(
    ("reply", "code", "exit_code"),
    [
        (Reply(status=404), "missing_tile", 1),
        (Reply(bytes(32 * 30)), "forked", 1),
        (Reply(bytes(32 * 29)), "malformed_tile", 1),
        (Reply(bytes(32 * 31)), "malformed_tile", 1),
        (Reply(status=503), "unreachable", 3),
    ],
)
def test_tiles_that_do_not_show_the_growth_prove_nothing(
    far: FarSide, partner: Partner, seen: dict[str, object], reply: Reply, code: str, exit_code: int
) -> None:
    """A tile that is missing, wrong, short or long refutes; one that cannot be had just now does not."""
    far.grow(30)
    far.seal()
    far.answers["/log/tile/0/000.p/30"] = reply
    outcome = partner.verify(seen)
    assert (outcome.code, outcome.fields["code"]) == (exit_code, code), outcome.out


@pytest.mark.parametrize("which", ["log_vkey", "receipt_vkey"])
def test_a_key_that_changed_is_refuted(far: FarSide, partner: Partner, seen: dict[str, object], which: str) -> None:
    """The keys of the first use are pinned: another one shown later is refused, though the signatures are good."""
    other = FarSide(seed=b"other")
    other.close()
    if which == "log_vkey":
        far.log_signer = other.log_signer
    else:
        far.receipt_signer = other.receipt_signer
    outcome = partner.verify(far.issue() if which == "receipt_vkey" else seen)
    expected = "key_changed" if which == "log_vkey" else "receipt_not_signed"
    assert (outcome.code, outcome.fields["code"]) == (1, expected)
    later = partner.verify(seen)
    assert (later.code, later.fields["code"]) == (1, "key_changed")
    assert "Ask the lab which key is correct" in later.fields["next_step"]


def test_a_key_that_was_given_must_be_the_one_remembered(
    far: FarSide, partner: Partner, seen: dict[str, object]
) -> None:
    """Who gives a key that is not the remembered one learns that one of the two is an impostor's."""
    other = FarSide(seed=b"other")
    other.close()
    assert partner.verify(seen, "--log-vkey", other.log_signer.vkey).fields["code"] == "key_changed"
    assert partner.verify(seen, *partner.known_keys()).code == 0


def test_a_key_that_was_given_must_be_the_one_shown(far: FarSide, partner: Partner) -> None:
    """An impostor at the endpoint shows other keys than the lab told: refused at the first use already."""
    other = FarSide(seed=b"other")
    other.close()
    answer = far.issue()
    far.seal()
    options = ("--log-vkey", other.log_signer.vkey)
    assert partner.verify(answer, *options).fields["code"] == "key_changed"
    assert not partner.memory.exists()


def test_each_log_is_remembered_apart(partner: Partner, seen: dict[str, object]) -> None:
    """A second log neither disturbs the first nor is measured by it."""
    second = FarSide("other.example.org/downloads/2026", b"second")
    try:
        answer = second.issue()
        second.seal()
        assert partner.verify(answer, endpoint=second.endpoint).fields["remembered_size"] is None
    finally:
        second.close()
    assert partner.verify(seen).fields["remembered_size"] == 20
    assert len(json.loads(partner.memory.read_bytes())["logs"]) == 2


def test_the_memory_is_for_its_owner_alone(partner: Partner, seen: dict[str, object]) -> None:
    """The file has mode 0600 and its folder 0700, and nothing is left beside it but the lock."""
    assert stat.S_IMODE(partner.memory.stat().st_mode) == 0o600
    assert stat.S_IMODE(partner.memory.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in partner.memory.parent.iterdir()) == ["log-memory.json", "log-memory.lock"]


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 2, "logs": {}}', '{"version": 1, "logs": 3}', "root", "key"])
def test_a_damaged_memory_stops_the_check(partner: Partner, seen: dict[str, object], damage: str) -> None:
    """What cannot be read is never taken for a first use: exit 2, and a line that says what to do."""
    text = partner.memory.read_text(encoding="utf-8")
    if damage == "root":
        text = text.replace("\\n20\\n", "\\n19\\n")
    elif damage == "key":
        text = text.replace('"log_vkey": "', '"log_vkey": "x')
    else:
        text = damage
    partner.memory.write_text(text, encoding="utf-8")
    outcome = partner.verify(seen)
    assert (outcome.code, outcome.fields["code"]) == (2, "damaged_memory")
    assert partner.memory.read_text(encoding="utf-8") == text


def test_what_is_remembered_of_one_log_says_nothing_of_another(partner: Partner, seen: dict[str, object]) -> None:
    """A memory whose names were swapped is damaged, though each part of it is whole."""
    second = FarSide("other.example.org/downloads/2026", b"second")
    try:
        (of_first,) = json.loads(partner.memory.read_bytes())["logs"].values()
        partner.memory.write_text(json.dumps({"version": 1, "logs": {second.origin: of_first}}), encoding="utf-8")
        answer = second.issue()
        second.seal()
        assert partner.verify(answer, endpoint=second.endpoint).fields["code"] == "damaged_memory"
    finally:
        second.close()


def test_a_folder_that_cannot_be_used_is_named(far: FarSide, partner: Partner) -> None:
    """Where nothing can be remembered nothing is proven: exit 2, naming the folder."""
    (partner.folder / "file").touch()
    partner.environment["WEIGHTGATE_STATE"] = str(partner.folder / "file" / "state")
    answer = far.issue()
    far.seal()
    outcome = partner.verify(answer)
    assert (outcome.code, outcome.fields["code"]) == (2, "no_memory")
    assert str(partner.folder / "file") in outcome.fields["sentence"]


def test_one_process_at_a_time_has_the_memory(tmp_path: Path) -> None:
    """While one process holds the lock another does not get it; when it ends, however, the lock is free."""
    path = tmp_path / "memory.json"
    program = (
        "import sys; from pathlib import Path; from weightgate import state\n"
        "with state.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with path.with_suffix(".lock").open("rb+") as file:
            assert not state._try_lock(file.fileno())
        holder.kill()
    with state.locked(path):
        pass


def test_the_state_folder_is_the_platforms_unless_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """WEIGHTGATE_STATE, then an absolute XDG_STATE_HOME, then the home folder's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state.folder({"WEIGHTGATE_STATE": "/here", "XDG_STATE_HOME": "/there"}) == Path("/here")
    assert state.folder({"XDG_STATE_HOME": "/there"}) == Path("/there/weightgate")
    for environment in ({}, {"XDG_STATE_HOME": "relative"}, {"XDG_STATE_HOME": ""}):
        assert state.folder(environment) == tmp_path / ".local" / "state" / "weightgate"


def test_a_second_server_of_the_same_name_is_told_apart(
    far: FarSide, partner: Partner, seen: dict[str, object]
) -> None:
    """The line names the remembered keys, since when, in which file, and how to forget them; then new ones count."""
    began = far.now
    far.now += 86_400
    other = FarSide(far.origin, b"other")
    try:
        answer = other.issue()
        other.seal()
        outcome = partner.verify(answer, endpoint=other.endpoint)
        assert (outcome.code, outcome.fields["code"]) == (1, "receipt_not_signed")
        sentence, next_step = outcome.fields["sentence"], outcome.fields["next_step"]
        since = datetime.fromtimestamp(began, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for vkey in (far.log_signer.vkey, far.receipt_signer.vkey):
            assert "+".join(vkey.split("+")[:2]) in sentence
        assert f"are remembered since {since}, in {partner.memory}." in sentence
        assert f"`weightgate log forget {far.origin}`" in next_step
        assert partner.run("log", "forget", far.origin).out == f"{far.origin} has been forgotten.\n"
        assert partner.verify(answer, endpoint=other.endpoint).code == 0
    finally:
        other.close()


def test_a_memory_from_before_it_noted_when_is_kept(far: FarSide, partner: Partner, seen: dict[str, object]) -> None:
    """A file of an earlier version still binds, and says that it does not know since when."""
    stored = json.loads(partner.memory.read_bytes())
    for of_log in stored["logs"].values():
        del of_log["since"]
    partner.memory.write_text(json.dumps(stored), encoding="utf-8")
    other = FarSide(seed=b"other")
    other.close()
    far.receipt_signer = other.receipt_signer
    assert "are remembered from an earlier time, in" in partner.verify(far.issue()).fields["sentence"]


def test_what_is_not_remembered_cannot_be_forgotten(partner: Partner, seen: dict[str, object]) -> None:
    """A misspelled name is wrong use, and the line names what there is."""
    outcome = partner.run("log", "forget", "nobody.example/downloads/2026")
    assert outcome.code == 2
    assert partner.far.origin in outcome.err
    assert partner.verify(seen).fields["remembered_size"] == 20
