"""Settings: read once, frozen, and every doubtful one stops the start, naming itself and never a secret."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from server import create_app, settings
from server.domain.resources import Resources
from server.settings import FILE_NAME, Settings, SettingsError
from server.storage.keys import KeyFileError
from tests.world import World

EXAMPLE = Path(__file__).parents[1] / "config" / "example.toml"
GOOD = """\
public_url = "https://weights.example.org"
contact = "clearance@lab.example.org"
s3_bucket = "weights"
log_host = "weights.example.org"
"""


def load(folder: Path, more: str = "", environment: Mapping[str, str] | None = None, good: str = GOOD) -> Settings:
    (folder / FILE_NAME).write_text(good + more)
    return settings.load(folder, environment or {})


def without(key: str) -> str:
    return re.sub(rf"^{key} = .*\n", "", GOOD, flags=re.MULTILINE)


def test_four_keys_are_enough(tmp_path: Path) -> None:
    """All others have a default that is safe to start with."""
    loaded = load(tmp_path)
    assert loaded.url_lifetime_seconds == 300
    assert loaded.trusted_proxies == ()
    assert loaded.listen.startswith("127.0.0.1:")
    assert loaded.secret_file == tmp_path / "keys/secret"
    assert loaded.database_url == f"sqlite:///{tmp_path}/weightgate.sqlite3"


@pytest.mark.parametrize("key", ["public_url", "contact", "s3_bucket", "log_host"])
def test_a_missing_key_names_itself(tmp_path: Path, key: str) -> None:
    """There is no default for what only the operator can know."""
    with pytest.raises(SettingsError, match=rf"^{key}: missing; add it to {FILE_NAME}"):
        load(tmp_path, good=without(key))


BRACKET = 'issuer = "https://[::1"'


def provider(change: str = "") -> str:
    """An identity provider in one line, with one key as it should not be."""
    fields = {
        "id": '"lab"', "name": '"SSO"', "issuer": '"https://login.example.org"', "client_id": '"weightgate"',
        "organizations": '["lab"]',
    }  # fmt: skip
    key, _, value = change.partition(" = ")
    return "{" + ", ".join(f"{name} = {one}" for name, one in (fields | ({key: value} if key else {})).items()) + "}"


PROVIDER = provider()
# Of the same key, once as a witness's and once as a log's.
VKEY = "witness.example.org/w1+88acdbe8+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
LOG_VKEY = "witness.example.org/w1+62d60c02+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"


def witness(key: str = "vkey", value: str | None = None) -> str:
    """A witness in one line, with one key as it should not be."""
    fields = {"url": "https://w.example/w1", "vkey": VKEY} | ({} if value is None else {key: value})
    return "{ " + ", ".join(f'{name} = "{one}"' for name, one in fields.items()) + " }"


BAD = {
    "public_url": [
        '"http://weights.example.org"', '"weights.example.org"', '"https://weights.example.org/gate"', '"https://"',
        '""',
        '"https://user:word@weights.example.org"', '"https://weights.example.org?x"', '"https://weights.example.org#x"',
        '"HTTPS://weights.example.org"', '"https://weights.example.org:99999"', '"https://[::1"', '"ftp://localhost"',
        '"http://localhost.example.org"', '"https://a b"', "7", "[]",
    ],
    "listen": ['"8080"', '"127.0.0.1"', '"127.0.0.1:0"', '"127.0.0.1:65536"', '"127.0.0.1:http"', '":8080"', "8080"],
    "web_workers": ["0", "65", "-1", "2.5", '"many"', "[]"],
    "web_threads": ["0", "65", '"many"'],
    "web_keeps_cores": ['"perhaps"', "2"],
    "trusted_proxies": [
        '["127.0.0.1/8"]', '["nginx"]', '"10.0.0.0/8"', '["0.0.0.0/0"]', '["::/0"]', "7", '["10.0.0.0/8", "x"]',
    ],
    "contact": ['"x"', '""', "7", f'"{"x" * 201}"'],
    "security_contact": ['"security@lab.example"', '"http://lab.example"', '"mailto:"', '""', "7"],
    "terms_url": ['"http://lab.example/terms"', '"javascript:x"', '""', "7", f'"https://{"x" * 500}"'],
    "logger_level": ['"DEBUG"', '"verbose"', "10"],
    "access_lines": ['"perhaps"', "2"],
    "metrics_listen": [
        '"9464"', '"0.0.0.0:9464"', '"[::]:9464"', '":9464"', '"203.0.113.7:9464"', '"[2001:db8::1]:9464"', "9464",
        '"localhost:9464"', '"127.0.0.1"', '"127.0.0.1:0"', '"127.0.0.1:65536"', '"127.0.0.1:8080"',
        '"[fe80::1%eth0]:1"',
    ],
    "traces_endpoint": [
        '"http://otel.example.org:4318"', '"127.0.0.1:4318"', '"http://127.0.0.1:4318/v1/traces"', "4318",
    ],
    "traces_share": ["0", "1.1", "-1", '"half"', "nan"],
    "redis_url": ['"redis.example.org"', '"http://redis"', '"redis://"', '"redis://a b"', '"redis://h/x"', "7", '""'],
    "database_url": [
        '"sqlite://"', '"sqlite:///"', '"mysql://app:hush@db/x"', '"postgresql://app:hush@db/x"',
        '"weightgate.sqlite3"', '"sqlite:///?mode=memory"',
    ],
    "migration_database_url": ['"mysql://owner:hush@db/x"', "7"],
    "anchor_bucket": ['""', '"ab"', '"Anchors"', "3"],
    "log_mirror": ['""', '"weights"', '"weights/log"', '"Upper/x"', '"bucket/"', '"bucket//x"', '"s3://b/x"', "3"],
    "log_months": ['""', '"weights"', '"weights/log"', '"Upper/x"', '"bucket/"', '"bucket//x"', '"s3://b/x"', "3"],
    "log_replica_url": ['"sqlite:///file"', '"postgresql://a/b"', "3"],
    "sealer_database_url": ['"sqlite://"', '"mysql://a/b"', "3"],
    "embedded_store": ['"perhaps"', "[]", "2"],
    "s3_endpoint_url": ['"http://s3.example.org"', '"s3.example.org"', '"https://s3.example.org/x"', '"https://u:p@s3"'],
    "s3_region": ['"X"', '"us east"', '""'],
    "s3_bucket": ['"x"', '"Weights"', '"a_b"', '"-weights"', f'"{"x" * 64}"'],
    "s3_addressing": ['"dns"', "true"],
    "delivery": ['"S3"', '"cdn"', "true"],
    "cloudfront_url": [
        '"http://d1.cloudfront.net"', '"d1.cloudfront.net"', '"https://d1.cloudfront.net/x"', '"https://u:p@d1"', '""',
    ],
    "cloudfront_binds_address": ['"perhaps"', "2"],
    "signer_credentials": ['"keys"', '"Role"', "true"],
    "signer_key_file": ["7", "[]"],
    "url_lifetime_seconds": ["9", "901", "0", "-300", "1000000", '"soon"', "300.5", "nan", "inf"],
    "public_stages_need_sign_in": ['"perhaps"', "2"],
    "public_releases": ['"perhaps"', "2"],
    "oci_door": ['"perhaps"', "2"],
    "sizes_before_access": ['"perhaps"', "2"],
    "card_before_access": ['"perhaps"', "2"],
    "store_must_answer": ['"perhaps"', "2"],
    "upload_bytes_per_person": ["1048575", "9007199254740992", '"2 TB"', "1.5"],
    "quota_alone_bytes_per_day": ["-1", "9007199254740992", '"10 TB"', "1.5"],
    "s3_door": ['"on"', "true", '"STS"'],
    "sts_role_arn": [
        '"downloads"', '"arn:aws:iam::123456789012:user/x"', '"arn:aws:sts::1:assumed-role/x/y"', '""', "7",
        '"arn:aws:iam::123456789012:role/a b"',
    ],
    "sts_endpoint_url": ['"http://sts.example.org"', '"https://sts.example.org/x"', '""', "7"],
    "sts_key_file": ["7", "[]"],
    "url_sessions": ['"perhaps"', "2", "true"],
    "s3_door_url": ['"http://s3.example.org"', '"https://s3.example.org/models"', '""', "7"],
    "s3_door_port": ["0", "65536", '"s3"'],
    "s3_key_lifetime_seconds": ["899", "43201", '"1h"'],
    "container_credentials": ['"perhaps"', "2"],
    "web_identity_credentials": ['"perhaps"', "2"],
    "second_person_tier": ['""', '"Research"', '"-x"'],
    "token_lifetime_days": ["0", "91", '"long"'],
    "workload_issuers": [
        '["http://issuer.example.org"]', '["issuer.example.org"]', '["https://u:hush@issuer.example.org"]', '[""]',
        '["https://issuer.example.org?x"]', '["https://issuer.example.org/#x"]', '["https://a b"]', "[7]", '"https://x.y"',
        '["https://x.y", "https://x.y"]', '[{ url = "https://x.y", other = "x" }]', '[{ jwks_file = "x" }]',
        '["https://x.y:0"]', f'["https://{"x" * 500}"]', '["https://issuer.exämple.org"]',
    ],
    "witnesses": [
        "[7]", '"https://w.example"', f"[{witness('url', 'http://w.example')}]", f"[{witness('url', 'w.example')}]",
        f"[{witness('url', 'https://w.example/')}]", f"[{witness('url', 'https://u:hush@w.example')}]",
        f"[{witness('url', 'https://w.example?x')}]", f"[{witness('vkey', 'w.example')}]", f"[{witness('vkey', '')}]",
        f"[{witness('vkey', VKEY.replace('b', 'c', 1))}]", f"[{witness('vkey', LOG_VKEY)}]",
        f"[{witness('vkey', VKEY + 'x')}]", f"[{witness('name', 'x')}]", f"[{witness()}, {witness()}]",
        f"[{', '.join([witness()] * 21)}]", '[{ url = "https://w.example" }]',
    ],
    "log_host": ['"Weights.example.org"', '"a/b"', '""', '"a b"', '"https://x"'],
    "smtp_url": [
        '"mail.example.org"', '"smtp://mail.example.org"', '"http://localhost"', '"smtps://u:hush@mail.example.org"',
        '"smtps://mail.example.org/x"', '"smtps://"', '"smtps://a b"', '"smtps://m:0"', '"smtps://m:99999"', '""', "7",
        '"smtps://a@b@c"', '"smtps://m\\r\\nx"',
    ],
    "mail_from": ['"weights"', '"a@b, c@d"', '"A <a@b>"', '"a@b\\r\\nBcc: c@d"', '""', '"a@é.example"', "7"],
    "development_mails": ["true", '"perhaps"', "2"],
    "identity_providers": [
        "7", '["x"]', "[{}]", f"[{PROVIDER}, {PROVIDER}]",
        *(
            f"[{provider(change)}]"
            for change in (
                'id = "Lab"', 'id = ""', 'name = ""', f'name = "{"x" * 41}"', 'issuer = "http://login.example.org"',
                'issuer = "login.example.org"', 'issuer = "https://u:p@login.example.org"',
                'issuer = "https://login.example.org/?x=1"', 'issuer = "https://login.example.org#x"',
                'issuer = "https://login.example.org/a b"', 'issuer = "https://"', 'issuer = ""', 'client_id = ""',
                "organizations = []", 'organizations = ["A B"]', 'second_factor_amr = [""]',
                'second_factor_acr = ["a b"]', 'only_way_in = "perhaps"', "secret = 1",
            )
        ),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_bad_value_names_its_key(tmp_path: Path, key: str, value: str) -> None:
    """Out of bounds, of a wrong type or unsafe: the start stops, and what could be secret is not repeated."""
    with pytest.raises(SettingsError, match=rf"^{key}(\.\d+)?(\.\w+)*: .{{8,}}") as refused:
        load(tmp_path, f"{key} = {value}\n", good=without(key))
    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('smtp_url = "smtps://mail.example.org"', "mail_from: missing"),
        ('smtp_url = "smtps://u@m"\nmail_from = "a@b"', "smtp_password_file: set both"),
        ('smtp_url = "smtps://m"\nmail_from = "a@b"\nsmtp_password_file = "x"', "smtp_password_file: set both"),
        ('smtp_password_file = "x"', "smtp_password_file: set both"),
    ],
)
def test_what_mail_needs_goes_together(tmp_path: Path, lines: str, said: str) -> None:
    """A server without a sender, or a user without a password, would fail at the first mail."""
    with pytest.raises(SettingsError, match=said):
        load(tmp_path, lines + "\n")


def test_the_s3_door_needs_an_address_and_the_embedded_store(tmp_path: Path) -> None:
    """Another store's bytes do not come through our own proxy."""
    with pytest.raises(SettingsError, match="s3_door_url: missing"):
        load(tmp_path, 's3_door = "proxy"\nembedded_store = true\n')
    with pytest.raises(SettingsError, match="s3_door_url: the S3 door serves the embedded store only"):
        load(tmp_path, 's3_door = "proxy"\ns3_door_url = "https://s3.example.org"\n')
    both = 's3_door = "proxy"\nembedded_store = true\ns3_door_url = "https://s3.example.org"\n'
    assert load(tmp_path, both).s3_door_url == "https://s3.example.org"


def test_issuers_are_addresses_or_tables(tmp_path: Path) -> None:
    """Their files start at the folder; in the environment they are addresses alone."""
    listed = """workload_issuers = [
        "https://token.actions.githubusercontent.com", "http://localhost:1/x/", { url = "https://k8s.example.org", \
jwks_file = "k8s.json", ca_file = "/etc/ca.pem" }]
""".replace("\\\n", "")
    github, local, cluster = load(tmp_path, listed).workload_issuers
    assert (github.url, github.jwks_file) == ("https://token.actions.githubusercontent.com", None)
    assert local.url == "http://localhost:1/x/"
    assert (cluster.jwks_file, cluster.ca_file) == (tmp_path / "k8s.json", Path("/etc/ca.pem"))
    known = load(tmp_path, "", {"WEIGHTGATE_WORKLOAD_ISSUERS": "https://a.example.org, https://b.example.org"})
    assert [issuer.url for issuer in known.workload_issuers] == ["https://a.example.org", "https://b.example.org"]


def test_where_the_store_makes_the_keys_a_role_is_needed(tmp_path: Path) -> None:
    """And a store that knows roles; S3 tools are told its address, not that of a door of ours."""
    role = 'sts_role_arn = "arn:aws:iam::123456789012:role/team/downloads"\n'
    with pytest.raises(SettingsError, match="sts_role_arn: missing"):
        load(tmp_path, 's3_door = "sts"\n')
    with pytest.raises(SettingsError, match="sts_role_arn: the embedded store knows no roles"):
        load(tmp_path, f's3_door = "sts"\nembedded_store = true\n{role}')
    with pytest.raises(SettingsError, match="s3_door_url: remove this"):
        load(tmp_path, f's3_door = "sts"\ns3_door_url = "https://s3.example.org"\n{role}')
    assert load(tmp_path, f's3_door = "sts"\n{role}').s3_door == "sts"
    assert load(tmp_path, 'sts_role_arn = "arn:aws:iam:::role/downloads"\n').s3_door == "off"


def test_development_mails_are_for_loopback(tmp_path: Path) -> None:
    """There they need no mail server, and cannot stand beside one."""
    loopback = re.sub("https://weights.example.org", "http://localhost:8080", GOOD)
    assert load(tmp_path, "development_mails = true\n", good=loopback).development_mails
    mail = 'smtp_url = "smtp://localhost"\nmail_from = "a@b"\n'
    assert load(tmp_path, mail, good=loopback).smtp_url == "smtp://localhost"
    with pytest.raises(SettingsError, match="development_mails: remove this"):
        load(tmp_path, mail + "development_mails = true\n", good=loopback)


def test_identity_providers_come_from_the_file_or_a_variable(tmp_path: Path) -> None:
    """Their paths start at the folder; of two, neither id nor name nor issuer is the same."""
    table = f'[[identity_providers]]\nclient_secret_file = "keys/oidc"\n{PROVIDER[1:-1].replace(", ", chr(10))}\n'
    (read,) = load(tmp_path, table).identity_providers
    assert read.client_secret_file == tmp_path / "keys/oidc"
    assert read.issuer == "https://login.example.org"
    told = json.dumps([read.model_dump(mode="json", exclude_none=True)])
    assert load(tmp_path, environment={"WEIGHTGATE_IDENTITY_PROVIDERS": told}).identity_providers == (read,)
    with pytest.raises(SettingsError, match="IDENTITY_PROVIDERS: write a JSON array"):
        load(tmp_path, environment={"WEIGHTGATE_IDENTITY_PROVIDERS": "lab"})
    for alike in ("id", "name", "issuer"):
        other = {"id": "b", "name": "B", "issuer": "https://b.example"} | {alike: getattr(read, alike)}
        both = json.dumps([json.loads(told)[0], json.loads(told)[0] | other])
        with pytest.raises(SettingsError, match=f"identity_providers .*the same {alike}"):
            load(tmp_path, environment={"WEIGHTGATE_IDENTITY_PROVIDERS": both})


def test_every_key_has_its_bad_values() -> None:
    """No setting is without a test of what it refuses, but the paths, which are all alike."""
    paths = {name for name in Settings.model_fields if name.endswith("_file")} - set(BAD)
    assert set(Settings.model_fields) - paths - {"folder"} == set(BAD)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start the server once for each."""
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, 'web_workers = 0\nurl_lifetime = 5\nlogger_level = "loud"\n', good=without("contact"))
    told = [sentence.partition(":")[0] for sentence in str(refused.value).split("; ") if ": " in sentence]
    assert set(told) == {"web_workers", "url_lifetime", "logger_level", "contact"}


@pytest.mark.parametrize("line", ["url_lifetime = 300", "[web]\nworkers = 2", '"" = 1', "Public_url = 1"])
def test_an_unknown_key_names_itself(tmp_path: Path, line: str) -> None:
    """A misspelt key is not silently the default."""
    with pytest.raises(SettingsError, match="unknown key; remove it or correct its spelling"):
        load(tmp_path, line + "\n")


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        ("debug = true", {}),
        ("debug = false", {}),
        ("", {"WEIGHTGATE_DEBUG": "1"}),
        ("", {"FLASK_DEBUG": "1"}),
        ("", {"FLASK_DEBUG": "true"}),
    ],
)
def test_debug_stops_the_start(tmp_path: Path, line: str, environment: dict[str, str]) -> None:
    """In whatever way it was asked for."""
    with pytest.raises(SettingsError, match=r"debug is not a setting.*FLASK_DEBUG"):
        load(tmp_path, line + "\n", environment)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no settings at .*weightgate.toml: create them with `weightgate-server init`"),
        (b'public_url = "https://\xff"', "cannot read .*weightgate.toml: UnicodeDecodeError"),
        (b"public_url = ", "weightgate.toml is not TOML"),
        (b'contact = "hush hush\n', "weightgate.toml is not TOML"),
        (b'contact = "a"\ncontact = "b"\n', "weightgate.toml is not TOML"),
        (b'folder = "/tmp"\n', "folder: unknown key"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    """Its path and what is wrong, not what stands in it."""
    if content is not None:
        (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(SettingsError, match=said) as refused:
        settings.load(tmp_path, {})
    assert "hush" not in str(refused.value)


def test_a_folder_in_place_of_the_file_says_so(tmp_path: Path) -> None:
    """Also what the operating system refuses is told in a line."""
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(SettingsError, match=r"cannot read .*IsADirectoryError"):
        settings.load(tmp_path, {})


def test_a_variable_wins(tmp_path: Path) -> None:
    """WEIGHTGATE_<KEY> over the file, as text of the same meaning."""
    environment = {
        "WEIGHTGATE_URL_LIFETIME_SECONDS": "60",
        "WEIGHTGATE_PUBLIC_STAGES_NEED_SIGN_IN": "true",
        "WEIGHTGATE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1 ,",
        "WEIGHTGATE_LISTEN": "[::1]:80",
        "WEIGHTGATE_SECRET_FILE": "/run/secret",
        "WEIGHTGATE_DATA": "elsewhere",
        "WEIGHTGATE_PASSWORD": "hush",
        "WEIGHTGATE_TOKEN": "hush",
        "WEIGHTGATE_ENDPOINT": "http://localhost:8080",
        "WEIGHTGATE_STATE": "/tmp/state",
        "WEIGHTGATE_PORT": "tcp://10.96.4.2:8080",
        "WEIGHTGATE_SERVICE_HOST": "10.96.4.2",
        "WEIGHTGATE_SERVICE_PORT": "8080",
        "WEIGHTGATE_SERVICE_PORT_HTTP": "8080",
        "WEIGHTGATE_PORT_8080_TCP": "tcp://10.96.4.2:8080",
        "WEIGHTGATE_PORT_8080_TCP_PROTO": "tcp",
        "WEIGHTGATE_PORT_8080_TCP_PORT": "8080",
        "WEIGHTGATE_PORT_8080_TCP_ADDR": "10.96.4.2",
        "WEIGHTGATE_WEB_PORT": "tcp://[fd00::2]:8080",
        "WEIGHTGATE_WEB_SERVICE_HOST": "fd00::2",
        "OTHER_WEB_WORKERS": "0",
    }
    loaded = load(tmp_path, 'url_lifetime_seconds = 900\ntrusted_proxies = ["127.0.0.1"]\n', environment)
    assert loaded.url_lifetime_seconds == 60
    assert loaded.public_stages_need_sign_in is True
    assert loaded.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32")
    assert loaded.listen == "[::1]:80"
    assert loaded.secret_file == Path("/run/secret")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('public_url = "https://gewichte.münchen.example"', "write the host as .*: gewichte.xn--mnchen-3ya.example"),
        ('public_url = "https://a b.exämple"', "letters that no host name can have"),
        ('log_host = "münchen.example"', "write the host as .*: xn--mnchen-3ya.example"),
        ('log_host = "2001:db8::1"', "write a host name in small letters, .* an IPv6 address is none"),
        ('trusted_proxies = ["fe80::1%lo"]', "write a network without a zone"),
        ('public_url = "https://[::1"', "write only scheme, host and port, such as https://weights.example.org"),
        ('traces_endpoint = "https://otel:99999"', "write only scheme, host and port"),
        ('workload_issuers = ["https://[x.y"]', "write the issuer as its tokens name it"),
        ('workload_issuers = ["https://x.y:99999"]', "write the issuer as its tokens name it"),
        ('workload_issuers = ["https://münchen.example"]', "write the host as .*: xn--mnchen-3ya.example"),
        (f"witnesses = [{witness('url', 'https://w:99999')}]", "write the witness's submission prefix"),
        (f"identity_providers = [{provider(BRACKET)}]", "write the exact issuer URL"),
        ('smtp_url = "smtps://[::1"', "write smtps://"),
        ('smtp_url = "smtps://m:99999"', "write smtps://"),
    ],
)
def test_a_host_that_is_none_is_told_in_a_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    """No pattern is shown to anyone, and what browsers call it is offered."""
    key = line.partition(" ")[0]
    good = GOOD if key not in GOOD else without(key)
    with pytest.raises(SettingsError, match=sentence) as refused:
        load(tmp_path, line + "\n", good=good)
    assert "pattern" not in str(refused.value)


def test_networks_of_proxies_are_kept_as_they_are_looked_for(tmp_path: Path) -> None:
    """IPv4 in IPv6's clothes is IPv4, or it would match nothing; all of it is refused as ever."""
    assert load(tmp_path, 'trusted_proxies = ["::ffff:10.0.0.0/104"]\n').trusted_proxies == ("10.0.0.0/8",)
    with pytest.raises(SettingsError, match="includes every address"):
        load(tmp_path, 'trusted_proxies = ["::ffff:0:0/96"]\n')


def test_the_environment_is_read_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one given, the process's own."""
    monkeypatch.setenv("WEIGHTGATE_WEB_WORKERS", "7")
    (tmp_path / FILE_NAME).write_text(GOOD)
    assert settings.load(tmp_path).web_workers == 7


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("WEIGHTGATE_URL_LIFETIME_SECONDS", "901", r"url_lifetime_seconds \(from WEIGHTGATE_URL_LIFETIME_SECONDS\): "),
        ("WEIGHTGATE_TRUSTED_PROXIES", "10.0.0.0/8,x", r"trusted_proxies.1 \(from WEIGHTGATE_TRUSTED_PROXIES\): "),
        ("WEIGHTGATE_URL_LIFETIME", "60", r"url_lifetime \(from WEIGHTGATE_URL_LIFETIME\): unknown key"),
        ("WEIGHTGATE_PORT", "8080", r"port \(from WEIGHTGATE_PORT\): unknown key"),
        ("WEIGHTGATE_SERVICE_PORT", "x", r"service_port \(from WEIGHTGATE_SERVICE_PORT\): unknown key"),
        ("WEIGHTGATE_S3_ENDPOINT", "x", r"s3_endpoint \(from WEIGHTGATE_S3_ENDPOINT\): unknown key"),
        ("WEIGHTGATE_FOLDER", "/tmp", "WEIGHTGATE_FOLDER: unknown variable; use WEIGHTGATE_DATA"),
        ("WEIGHTGATE_DATABASE_URL", "mysql://app:hush@db/x", r"database_url \(from WEIGHTGATE_DATABASE_URL\): "),
    ],
)
def test_a_bad_variable_names_itself(tmp_path: Path, variable: str, text: str, said: str) -> None:
    """Nobody searches the file for what the environment said."""
    with pytest.raises(SettingsError, match=said) as refused:
        load(tmp_path, environment={variable: text})
    assert "hush" not in str(refused.value)


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nothing changes them after the start."""
    loaded = load(tmp_path)
    with pytest.raises(ValidationError):
        loaded.url_lifetime_seconds = 900  # type: ignore[misc]
    with pytest.raises(AttributeError):
        loaded.trusted_proxies.append("0.0.0.0/0")  # type: ignore[attr-defined]


def test_no_password_is_printed(tmp_path: Path) -> None:
    """Settings can be shown: the databases' URLs, which hold passwords, stay out."""
    url = "postgresql+psycopg://app:hush@db.example.org/weightgate"
    loaded = load(tmp_path, f'database_url = "{url}"\nmigration_database_url = "{url}"\n')
    assert loaded.database_url == loaded.migration_database_url == url
    for shown in (repr(loaded), str(loaded), f"{loaded}"):
        assert "hush" not in shown


def example_keys() -> dict[str, str]:
    """Each key of the example, also the commented ones, with the comment above it."""
    found: dict[str, str] = {}
    comment: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if key := re.match(r"(?:# )?([a-z0-9_]+) = ", line):
            found[key[1]] = "\n".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line)
        else:
            comment = []
    return found


def test_the_example_has_exactly_the_keys(tmp_path: Path) -> None:
    """Every key of the class and no other, in its order, each with a comment of its own."""
    found = example_keys()
    assert list(found) == [key for key in Settings.model_fields if key != "folder"]
    assert [key for key, comment in found.items() if len(comment) < 20] == []


def test_the_example_loads(tmp_path: Path) -> None:
    """As it stands, and with the commented keys too; what it shows as default is the default."""
    text = EXAMPLE.read_text(encoding="utf-8")
    loaded = load(tmp_path, good=text)
    load(tmp_path, good=re.sub(r"^# ([a-z0-9_]+ = )", r"\1", text, flags=re.MULTILINE))
    bare: dict[str, Any] = load(tmp_path).model_dump()
    chosen = {"trusted_proxies", "s3_endpoint_url"}  # shown as they are behind nginx, with a store of one's own
    written = set(tomllib.loads(text)) - chosen
    assert {key: bare[key] for key in written} == {key: loaded.model_dump()[key] for key in written}


@pytest.mark.parametrize(("key", "bound"), [("url_lifetime_seconds", "10 to 900"), ("web_workers", "1 to 64")])
def test_the_example_tells_the_bounds(key: str, bound: str) -> None:
    """What the class refuses stands in the comment."""
    assert bound in example_keys()[key]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_file_that_others_can_read_stops_the_start(sqlite_world: World, mode: int) -> None:
    """A key that others could read is no longer a secret; the sentence says how to mend it."""
    copied = sqlite_world.settings.folder / "signer.json"
    copied.write_bytes(sqlite_world.settings.signer_key_file.read_bytes())
    copied.chmod(mode)
    use = Resources(sqlite_world.settings.model_copy(update={"signer_key_file": copied}))
    with pytest.raises(KeyFileError, match=rf"mode {mode:04o}.*chmod 600 {re.escape(str(copied))}"):
        use.open_for_web()
    use.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "weightgate-server init"),
        (b"not JSON: hush", "access_key_id"),
        (b'{"access_key_id": "hush"}', "secret_acc"),
    ],
)
def test_a_key_file_that_is_none_stops_the_start(sqlite_world: World, content: bytes | None, said: str) -> None:
    """It names the file and the fix, and never what stands in it."""
    path = sqlite_world.settings.folder / "signer.json"
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o600)
    use = Resources(sqlite_world.settings.model_copy(update={"signer_key_file": path}))
    with pytest.raises(KeyFileError, match=said) as refused:
        use.open_for_web()
    assert str(path) in str(refused.value)
    assert "hush" not in str(refused.value)
    use.close()


def test_a_short_secret_is_refused(sqlite_world: World) -> None:
    """Fewer than 32 bytes cannot be random enough to seal anything."""
    path = sqlite_world.settings.folder / "secret"
    path.write_bytes(b"change-me")
    path.chmod(0o600)
    use = Resources(sqlite_world.settings.model_copy(update={"secret_file": path}))
    with pytest.raises(KeyFileError, match="9 bytes, but needs at least 32") as refused:
        _ = use.secret
    assert "change-me" not in str(refused.value)


def test_the_app_does_not_start_without_settings(tmp_path: Path) -> None:
    """`create_app` is settings, then resources, then web: the first that fails ends it."""
    with pytest.raises(SettingsError):
        create_app(tmp_path)


def test_cloudfront_needs_an_address_and_a_store_that_it_can_reach(tmp_path: Path) -> None:
    """Nothing is signed for nowhere."""
    with pytest.raises(SettingsError, match="cloudfront_url: missing; set the distribution's address"):
        load(tmp_path, 'delivery = "cloudfront"')
    there = 'delivery = "cloudfront"\ncloudfront_url = "https://d1.cloudfront.net/"\n'
    with pytest.raises(SettingsError, match="cannot reach the embedded store"):
        load(tmp_path, f"{there}embedded_store = true\n")
    with pytest.raises(SettingsError, match="signer_credentials: the embedded store knows no roles"):
        load(tmp_path, 'embedded_store = true\nsigner_credentials = "role"\n')
    role = 'sts_role_arn = "arn:aws:iam::123456789012:role/downloads"\nurl_sessions = true\n'
    for other, sentence in ((there, "CloudFront knows no sessions"), ("embedded_store = true\n", "makes no sessions")):
        with pytest.raises(SettingsError, match=f"url_sessions: .*{sentence}"):
            load(tmp_path, other + role)
    assert load(tmp_path, role).uses_sts
    chained = role + 's3_door = "sts"\nsigner_credentials = "role"\ns3_key_lifetime_seconds = '
    with pytest.raises(SettingsError, match=r"s3_key_lifetime_seconds.*no longer session"):
        load(tmp_path, f"{chained}3601\n")
    assert load(tmp_path, f"{chained}3600\n").s3_key_lifetime_seconds == 3600
    assert load(tmp_path, there).cloudfront_url == "https://d1.cloudfront.net"


@pytest.mark.parametrize("key", ["log_mirror", "log_months"])
def test_the_log_leaves_to_a_bucket_of_its_own(tmp_path: Path, key: str) -> None:
    """Not to that of the anchors either, which others can write to; a folder in a bucket is a place."""
    assert getattr(load(tmp_path, f'{key} = "audit-log/a/b"\n'), key) == "audit-log/a/b"
    with pytest.raises(SettingsError, match=f"^{key}: choose a bucket of its own"):
        load(tmp_path, f'anchor_bucket = "anchors"\n{key} = "anchors/x"\n')


def test_months_are_not_in_the_bucket_of_the_mirror(tmp_path: Path) -> None:
    """Which is to be public: in whatever folder, every record would be too."""
    for place in ("public-log", "public-log/months"):
        with pytest.raises(SettingsError, match=r"^log_months: choose another bucket than log_mirror's"):
            load(tmp_path, f'log_mirror = "public-log/mirror"\nlog_months = "{place}"\n')
    assert load(tmp_path, 'log_mirror = "public-log"\nlog_months = "audit-log"\n').log_months == "audit-log"
