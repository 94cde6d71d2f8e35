"""`init`: a new instance on each kind of parts, and failures that leave nothing in the way."""

import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server import settings
from server.cli import instance as making
from server.cli.init import PORT_BEHIND_PROXY, next_step, store_of
from server.storage import keys
from server.storage.embedded import EmbeddedStore, free_port
from tests.cli.operator import Answer, Operator
from tests.other_user import as_another_user
from tests.postgres import PostgreSQL

ADMINS = ("--admin", "ada@lab.example", "--admin", "ben@lab.example")
BASIC = ("init", "--public-url", "http://localhost:8080", "--contact", "help@lab.example", "--lab-name", "Lab", *ADMINS)


@pytest.fixture
def s3(unmarked_store: EmbeddedStore, tmp_path: Path) -> tuple[str, ...]:
    """Options that name the session's store as one that is there already. Its signer may read `weights` alone."""
    return options_of(unmarked_store, tmp_path)


def options_of(embedded_store: EmbeddedStore, tmp_path: Path) -> tuple[str, ...]:
    for name, source in (("signer", embedded_store.signer_key_file), ("publisher", embedded_store.publisher_key_file)):
        keys.write_s3_credentials(tmp_path / f"{name}.json", keys.read_s3_credentials(source))
    own = ("--signer-key", f"{tmp_path}/signer.json", "--publisher-key", f"{tmp_path}/publisher.json")
    return ("--s3-endpoint-url", embedded_store.endpoint_url, "--s3-addressing", "path", *own)


@pytest.fixture
def database(postgres: PostgreSQL) -> Iterator[str]:
    name = f"init_{uuid.uuid4().hex}"
    yield postgres.create(name)
    postgres.drop(name)


def passwords(answer: Answer) -> dict[str, dict[str, str]]:
    """The two admins whom `init` printed, as the operator knows people."""
    lines = [line.split() for line in answer.out.splitlines()]
    emails = [words[0] for words in lines if len(words) == 1 and "@" in words[0]]
    secrets = [words[1] for words in lines if words[:1] == ["password"]]
    return {
        email.partition("@")[0]: {"email": email, "password": secret}
        for email, secret in zip(emails, secrets, strict=True)
    }


@pytest.mark.parametrize("command", [("demo",), BASIC])
def test_who_asks_for_embedded_parts_that_are_absent_is_told(
    newcomer: Operator, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the command that helps, before anything is made."""
    for name in ("demo", "init"):
        monkeypatch.setattr(f"server.cli.{name}.PACKAGES", ("no-such-part",))
    answer = newcomer(*command, code=1)
    assert "no-such-part is not installed: `pip install 'weightgate-server[embedded]'`" in answer.line
    assert not newcomer.folder.exists()


def test_an_instance_on_embedded_parts_is_well(newcomer: Operator) -> None:
    """`init` alone is enough: both admins can act, and with the store started the doctor finds nothing wrong."""
    newcomer.people = passwords(newcomer(*BASIC))
    assert set(newcomer.people) == {"ada", "ben"}
    newcomer("tier", "add", "research", "--rank", 1, by="ada")
    newcomer("tier", "list", by="ben")
    made = settings.load(newcomer.folder)
    with store_of(newcomer.folder, made):
        assert "WRONG" not in newcomer("doctor").out
    folder = newcomer.folder
    private = [folder / settings.FILE_NAME, folder / "weightgate.sqlite3", made.secret_file, made.signer_key_file]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "store", folder / "keys")} == {0o700}


def test_an_instance_on_parts_that_are_there_is_well(newcomer: Operator, s3: tuple[str, ...], database: str) -> None:
    """With an S3 endpoint and PostgreSQL, nothing of its own is started, and the doctor finds nothing wrong."""
    newcomer.people = passwords(newcomer(*BASIC, *s3, "--bucket", "weights", "--database-url", database))
    newcomer("tier", "list", by="ada")
    assert "WRONG" not in newcomer("doctor").out
    assert not (newcomer.folder / "store").exists()
    assert not list(newcomer.folder.glob("*.sqlite3"))


def test_a_bucket_that_is_not_there_is_made(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """The publisher's key makes the bucket that is named."""
    newcomer(*BASIC, *s3, "--bucket", f"made-{uuid.uuid4().hex[:8]}")
    assert {row["name"]: row["ok"] for row in newcomer("doctor", "--json", code=1).body}["bucket"]


def test_an_anchor_bucket_that_is_not_there_is_made(newcomer: Operator, s3: tuple[str, ...], tmp_path: Path) -> None:
    """By the anchors' key, or by the publisher's where that one may only write objects; then the doctor is content."""
    bucket = f"anchors-{uuid.uuid4().hex[:8]}"
    newcomer(*BASIC, *s3, "--anchor-bucket", bucket, "--anchor-key", tmp_path / "publisher.json")
    assert {row["name"]: row["ok"] for row in newcomer("doctor", "--json").body}["anchors"]


def test_an_anchor_key_that_cannot_open_its_bucket_is_refused(
    newcomer: Operator, s3: tuple[str, ...], tmp_path: Path
) -> None:
    """The publisher's key makes the bucket, and the anchors' own is tried all the same: one line, and no instance."""
    bucket = f"anchors-{uuid.uuid4().hex[:8]}"
    line = newcomer(*BASIC, *s3, "--anchor-bucket", bucket, "--anchor-key", tmp_path / "signer.json", code=1).line
    assert "the object store refused to list anchors/" in line
    assert not (newcomer.folder / settings.FILE_NAME).exists()


def test_secrets_are_shown_once(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """No file of the instance holds a password that `init` printed."""
    printed = passwords(newcomer(*BASIC, *s3))
    everything = b"".join(path.read_bytes() for path in newcomer.folder.rglob("*") if path.is_file())
    for person in printed.values():
        assert person["password"].encode() not in everything


def test_a_second_init_is_refused(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """An instance is never begun over another one; its settings stay as they are."""
    newcomer(*BASIC, *s3)
    before = (newcomer.folder / settings.FILE_NAME).read_bytes()
    assert "already contains an instance" in newcomer(*BASIC, *s3, code=1).line
    assert (newcomer.folder / settings.FILE_NAME).read_bytes() == before


def test_a_bucket_of_another_instance_is_refused(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """Two instances cannot begin on one bucket; the second one's folder is free for another try."""
    newcomer(*BASIC, *s3)
    second = newcomer.elsewhere(newcomer.folder.with_name("second"))
    assert "the bucket belongs to another instance" in second(*BASIC, *s3, code=1).line
    second(*BASIC, *s3, "--bucket", f"free-{uuid.uuid4().hex[:8]}")


def test_a_database_that_is_in_use_is_refused(newcomer: Operator, s3: tuple[str, ...], database: str) -> None:
    """A second instance cannot begin on the first one's database, and is not half there afterwards."""
    newcomer(*BASIC, *s3, "--database-url", database)
    second = newcomer.elsewhere(newcomer.folder.with_name("second"))
    assert "has already been set up" in second(*BASIC, *s3, "--database-url", database, code=1).line
    assert not (second.folder / settings.FILE_NAME).exists()


FAULTS = {
    "a public address over plain http": (("--public-url", "http://weights.example.org"), "use https://"),
    "a store that is down": (("--s3-endpoint-url", "http://127.0.0.1:{port}"), "check that it is running"),
    "a database that is down": (
        ("--database-url", "postgresql+psycopg://a:hidden@127.0.0.1:{port}/b"),
        "check that it is running",
    ),
    "an address that is none": (("--admin", "ben"), "is not a valid email address"),
    "a host in another script": (("--public-url", "https://m\u00fcnchen.example"), "xn--mnchen-3ya.example"),
    "an id that is none": (("--lab", "The Lab"), "is not a valid organization ID"),
    "a bucket that is none": (("--bucket", "Weights!"), "s3_bucket"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_half_way_is_one_line_and_blocks_nothing(newcomer: Operator, s3: tuple[str, ...], fault: str) -> None:
    """Whatever was wrong, the same command with that corrected begins the instance."""
    options, sentence = FAULTS[fault]
    changed = [part.format(port=free_port()) for part in options]
    arguments = [*BASIC, *s3]
    if changed[0] == "--admin":
        arguments = [*arguments[: -len(s3) - 2], *s3]
    answer = newcomer(*arguments, *changed, code=1)
    assert sentence in answer.line
    assert "hidden" not in answer.err
    newcomer.people = passwords(newcomer(*BASIC, *s3))
    newcomer("tier", "list", by="ada")


def test_a_host_of_numbers_is_wrong_use(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """The sentence is about the host that was given, not about a key that nobody wrote."""
    answer = newcomer(*BASIC, *s3, "--public-url", "https://[2001:db8::1]", code=2)
    assert "use a host name instead of an IPv6 address" in " ".join(answer.err.split())


def test_an_init_that_was_killed_is_taken_up_again(
    newcomer: Operator, s3: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings and keys of a run that never came to its admins do not count as an instance."""

    def killed(path: Path, missing_ok: bool = False) -> None:
        """As after kill -9: nothing is tidied up."""

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        newcomer(*BASIC, *s3, "--lab", "The Lab", code=1)
    assert (newcomer.folder / settings.FILE_NAME).exists()
    newcomer.people = passwords(newcomer(*BASIC, *s3))
    newcomer("tier", "list", by="ada")


WRONG_USE: dict[str, tuple[list[Any], str]] = {
    "one admin": ([*BASIC[:-2]], "exactly twice"),
    "the same admin twice": ([*BASIC[:-1], " ADA@lab.example"], "exactly twice"),
    "a store without its keys": ([*BASIC, "--s3-endpoint-url", "http://127.0.0.1:1"], "Add --signer-key"),
    "keys without a store": ([*BASIC, "--signer-key", __file__, "--publisher-key", __file__], "creates its own keys"),
    "both stores": (
        [*BASIC, "--s3-region", "eu-west-1", "--store-url", "https://s.example.org"],
        "is for the embedded store only",
    ),
}


@pytest.mark.parametrize("case", WRONG_USE)
def test_wrong_use_makes_nothing(newcomer: Operator, case: str) -> None:
    """Options that contradict each other end before anything is written."""
    arguments, sentence = WRONG_USE[case]
    assert sentence in newcomer(*arguments, code=2).line
    assert not newcomer.folder.exists()


def test_behind_a_proxy_the_embedded_store_has_its_own_port(newcomer: Operator, tmp_path: Path) -> None:
    """An https address is the proxy's: the store itself listens where deploy/nginx-store.conf looks for it."""
    values = {"public_url": "https://w.example.org", "contact": "help@lab.example", "log_host": "w.example.org"}
    text = "".join(f'{key} = "{value}"\n' for key, value in values.items())
    text += 'embedded_store = true\ns3_bucket = "weights"\ns3_endpoint_url = "https://store.w.example.org"\n'
    newcomer.folder.mkdir()
    (newcomer.folder / settings.FILE_NAME).write_text(text)
    store = store_of(newcomer.folder, settings.load(newcomer.folder))
    assert store.endpoint_url == f"http://127.0.0.1:{PORT_BEHIND_PROXY}"


def test_a_script_gets_the_first_admins_as_json(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """With `--json` the secrets, shown this once, are an object that a script can hand on."""
    body = newcomer(*BASIC, *s3, "--json").body
    assert body["folder"] == str(newcomer.folder)
    newcomer.people = {"ada": body["admins"][0]}
    newcomer("tier", "list", by="ada")


@pytest.mark.parametrize("embedded", [True, False])
def test_what_comes_next_is_the_units_where_there_are_units(
    newcomer: Operator, s3: tuple[str, ...], tmp_path: Path, embedded: bool
) -> None:
    """After the guide's units were copied, starting `serve` by hand would take their port."""
    newcomer(*BASIC, *(() if embedded else s3))
    made = settings.load(newcomer.folder)
    assert next_step(made, tmp_path) == "`weightgate-server serve`"
    (tmp_path / "weightgate-web.service").touch()
    store = "weightgate-store " if embedded else ""
    assert next_step(made, tmp_path) == f"`systemctl enable --now {store}weightgate-web weightgate-worker`"


def test_a_key_in_a_folder_of_root_is_not_said_to_be_missing(newcomer: Operator, tmp_path: Path) -> None:
    """The guide's commands run as the server's user: what that user cannot open is there all the same."""
    private = tmp_path / "private"
    private.mkdir()
    keys.write_s3_credentials(private / "signer.json", keys.new_s3_credentials())
    with as_another_user(private):
        line = newcomer(*BASIC, "--signer-key", private / "signer.json", code=2).line
    assert "cannot be read by user" in line
    assert "install -m 0600 -o " in line
    assert "No such file" in newcomer(*BASIC, "--signer-key", private / "other.json", code=2).line


def test_two_instances_on_loopback_have_two_logs(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """A client remembers a log by its name: two demos on one machine must not have the same; a real host is kept."""
    newcomer(*BASIC, *s3)
    first = settings.load(newcomer.folder).log_host
    assert first.endswith(".localhost")
    assert making.log_host("http://localhost:8080") not in {first, making.log_host("http://localhost:8080")}
    assert making.log_host("https://weights.example.org:8443") == "weights.example.org"


def test_a_machine_with_a_role_needs_no_signers_key(newcomer: Operator, s3: tuple[str, ...]) -> None:
    """The settings say so, and no file of it is made; one or the other is named, not both."""
    without = tuple(word for place, word in enumerate(s3) if "--signer-key" not in s3[max(place - 1, 0) : place + 1])
    assert "Use either" in newcomer(*BASIC, *s3, "--signer-role", code=2).err
    assert "creates its own keys" in newcomer(*BASIC, "--signer-role", code=2).err
    newcomer(*BASIC, *without, "--signer-role")
    made = settings.load(newcomer.folder)
    assert (made.signer_credentials, made.signer_key_file.exists()) == ("role", False)
    assert made.publisher_key_file.exists()
