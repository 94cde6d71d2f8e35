"""The demo: the whole server on embedded parts, with the worked example in it."""

import contextlib
import fcntl
import functools
import json
import os
import re
import secrets
import shlex
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from server import settings
from server.cli import instance as making
from server.cli import worked_example
from server.cli.init import store_of
from server.cli.processes import LEFTOVERS_SECONDS, Processes, require_free
from server.cli.serve import mark_bucket
from server.cli.terminal import Instance, console
from server.cli.worker import require_anchored
from server.domain.audit import logs
from server.domain.errors import NotPossible
from server.domain.mail import mails
from server.domain.resources import Resources
from server.settings import FILE_NAME, Settings
from server.storage.embedded import PACKAGES, EmbeddedStore, free_port, is_free, require_installed

DESCRIPTION = "demo.json"
BEGUN = "story.json"  # instead of it, while the story is told
SOURCES = "sources"
BUILDING = "demo.building"  # lies in the folder until everything in it is made
READY_SECONDS = 60
WEB_PORT, STORE_PORT, DOOR_PORT = 8080, 8333, 8334  # when they are free at the first run


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="The web server's port [8080, or a free one].")
@click.option("--story", "tells", is_flag=True, help="First tell the staged release of 2019, chapter by chapter.")
@click.option("--fast", is_flag=True, help="With --story: do not wait for Enter between chapters.")
@click.pass_obj
def demo(instance: Instance, port: int | None, tells: bool, fast: bool) -> None:
    """Run a demo with example data until interrupted. The data is kept in the folder.

    Everything listens on loopback only. Accounts, tokens and sample commands are printed, and written to demo.json
    in the folder, which only you can read.
    """
    folder = instance.folder.absolute()
    require_installed(*PACKAGES, "safetensors")
    with _alone(folder):
        _clear_unfinished(folder)
        if not (folder / FILE_NAME).exists():
            _make(folder, port)
        elif not (folder / DESCRIPTION).exists():
            raise NotPossible(
                f"{folder} contains an instance that is not a demo.", next_step="Choose another folder with --data."
            )
        _show_mails(folder)
        _open_s3_door(folder)
        made = instance.settings
        if tells and (folder / DESCRIPTION).exists() and not _described(folder).get("story"):
            next_step = "Choose another folder with --data."
            raise NotPossible(f"{folder} contains a demo in which the story was not told.", next_step=next_step)
        if port is not None and not made.listen.endswith(f":{port}"):
            next_step = "Omit --port, or choose another folder with --data."
            raise NotPossible(f"This demo already uses {made.listen}.", next_step=next_step)
        require_free(made.listen)
        code = _run(folder, made, functools.partial(_tell, fast=fast) if tells else _build)
    if code == 0:
        console.print("Stopped. Run the same command to continue with the same data.", markup=False)
    sys.exit(code)


def _run(folder: Path, made: Settings, build: Callable[[Path, Settings], None]) -> int:
    with store_of(folder, made) as store:
        making.write_schema(made)
        if not (folder / DESCRIPTION).exists():
            build(folder, made)
        (folder / BUILDING).unlink(missing_ok=True)
        description = _described_anew(folder, made)
        use = Resources(made)
        require_anchored(use)
        mark_bucket(use)
        use.close()
        threading.Thread(target=_announce, args=(description, folder), daemon=True).start()
        return Processes(made).run(store.alive)


def _build(folder: Path, made: Settings) -> None:
    console.print("Building the example:", markup=False)
    use = Resources(made)
    built = worked_example.build(use, folder / SOURCES, lambda what: console.print(f"  {what}", markup=False))
    while mails.send_due(use):  # what the example's people were told is history: it stands on /mails, not here
        pass
    _write_description(folder, _description(use, built))
    use.close()


def _tell(folder: Path, made: Settings, *, fast: bool) -> None:
    from server.cli import story  # which needs the whole web: no other demo does in this process

    told = story.play(folder, made, folder / SOURCES, fast=fast)
    use = Resources(made)
    _write_description(folder, _description(use, told.example(use)) | {"story": True})
    use.close()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep two demos out of one folder: the second could take the first one's building for an abandoned one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder, os.O_RDONLY)  # the folder itself: no file to be left over, and free when we are gone
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise NotPossible(
            f"A demo is already running in {folder}.", next_step="Stop it, or choose another folder with --data."
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def _clear_unfinished(folder: Path) -> None:
    """A build that was killed half-way has been seen by nobody: begin anew. The folder was empty when it began."""
    if not (folder / BUILDING).exists() or (folder / DESCRIPTION).exists():
        return
    deadline = time.monotonic() + LEFTOVERS_SECONDS
    for path in sorted(folder.iterdir(), key=lambda path: path.name == BUILDING):  # the mark goes last
        while path.exists():
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # the killed run's store is ending right now, and tidies up


def _make(folder: Path, port: int | None) -> None:
    if any(folder.iterdir()):
        # It would be cleared if we were killed while building.
        raise NotPossible(
            f"{folder} is not empty and does not contain a demo.", next_step="Choose a new folder with --data."
        )
    if port is not None:
        require_free(f"127.0.0.1:{port}")  # before a folder is filled that would keep the port for good
    port = port or (WEB_PORT if is_free(WEB_PORT) else free_port())
    store_port = STORE_PORT if is_free(STORE_PORT) and port != STORE_PORT else free_port({port})
    store = EmbeddedStore(folder / "store", store_port, f"weights-{secrets.token_hex(4)}")
    (folder / BUILDING).touch()
    made = making.write_settings(
        folder,
        {
            "public_url": f"http://localhost:{port}",
            "listen": f"127.0.0.1:{port}",
            "contact": "clearance@example-lab.example",
            "log_host": making.log_host("http://localhost"),
            "logger_level": "warning",
            "development_mails": True,
            "embedded_store": True,
            "s3_endpoint_url": store.endpoint_url,
            "s3_bucket": store.bucket,
            "s3_addressing": "path",
            "signer_key_file": "store/keys/signer-s3.json",
            "publisher_key_file": "store/keys/publisher-s3.json",
            "findings_key_file": "store/keys/findings-s3.json",
            "uploads_key_file": "store/keys/uploads-s3.json",
            "anchor_bucket": store.anchor_bucket,
            "anchor_key_file": "store/keys/anchor-s3.json",
        },
    )
    making.write_keys(made)


def _show_mails(folder: Path) -> None:
    """Let a demo that was made before there were mails show them, too."""
    path = folder / FILE_NAME
    text = path.read_text(encoding="utf-8")
    if not re.search(r"^(development_mails|smtp_url) *=", text, re.MULTILINE):
        path.write_text(f"{text}development_mails = true\n", encoding="utf-8")


def _open_s3_door(folder: Path) -> None:
    """Let a demo that was made before there was a door for S3 tools have one, too."""
    path = folder / FILE_NAME
    text = path.read_text(encoding="utf-8")
    if not re.search(r"^s3_door *=", text, re.MULTILINE):
        taken = {int(port) for port in re.findall(r"127\.0\.0\.1:([0-9]+)", text)}
        # Beside another demo, which has the usual ports: both may be starting at this moment.
        is_usual = WEB_PORT in taken and DOOR_PORT not in taken and is_free(DOOR_PORT)
        port = DOOR_PORT if is_usual else free_port(taken)
        lines = ['s3_door = "proxy"', f's3_door_url = "http://localhost:{port}"', f"s3_door_port = {port}"]
        path.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
    making.write_s3_key(settings.load(folder))


def _description(use: Resources, built: worked_example.Example) -> dict[str, Any]:
    made: Settings = use.settings
    return {
        **_places(made),
        "people": built.people,
        "tokens": built.tokens,
        "stages": built.stages,
        "sources": built.sources,
        **_log_keys(use),
        "manifest_public_key": use.manifest_public_key,
    }


def _places(made: Settings) -> dict[str, Any]:
    return {
        "endpoint": made.public_url,
        "s3_endpoint": made.s3_endpoint_url,
        "bucket": made.s3_bucket,
        "database_url": made.database_url,
        "s3_door": made.s3_door_url,
    }


def _described_anew(folder: Path, made: Settings) -> dict[str, Any]:
    """The description of this folder, written again where it has been moved or its settings were changed."""
    known = _described(folder)
    sources = {stage: str(folder / SOURCES / stage) for stage in known["sources"]}
    description = known | _places(made) | {"sources": sources}
    if description != known:
        _write_description(folder, description)
    return description


def _described(folder: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return known


def _log_keys(use: Resources) -> dict[str, str]:
    with use.database.reading() as session:
        log = logs.current(session)
    return {"log_origin": log.origin, "log_vkey": log.vkey, "receipt_vkey": log.receipt_vkey}


def _write_description(folder: Path, description: dict[str, Any]) -> None:
    """Complete or not there: programs wait for this file."""
    beside = folder / f"{DESCRIPTION}.new"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(description, stream, indent=2, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())
    beside.rename(folder / DESCRIPTION)


def _announce(description: dict[str, Any], folder: Path) -> None:
    """Print how to use it once it answers."""
    if _answers(description["endpoint"]):
        console.print(_text(description, folder), markup=False)
    else:
        console.print("The server does not respond. See its messages above.", markup=False)


def _answers(endpoint: str) -> bool:
    waiting = threading.Event()
    for _ in range(READY_SECONDS * 5):
        try:
            with urllib.request.urlopen(f"{endpoint}/readyz", timeout=2) as response:  # noqa: S310  # our own http
                return bool(response.status == 200)
        except OSError:
            waiting.wait(0.2)
    return False


def _command(name: str, here: Path) -> str:
    # `make demo` is run without the environment's programs on the path.
    return name if shutil.which(name) else shlex.quote(str(here))


def _text(description: dict[str, Any], folder: Path) -> str:
    endpoint, stage = description["endpoint"], description["stages"]["partners"]
    admin, token = description["people"]["admin"]["email"], description["tokens"]["cleared"]
    here = Path(sys.executable).parent
    client = _command("weightgate", here / "weightgate")
    operator = f"{_command('weightgate-server', here / 'weightgate-server')} --data {shlex.quote(str(folder))}"
    return TEXT.format(
        endpoint=endpoint, s3_door=description["s3_door"], stage=stage, token=token, client=client, operator=operator,
        admin=admin, accounts=_accounts(description), tokens=_tokens(description), file=folder / DESCRIPTION,
    )  # fmt: skip


def _accounts(description: dict[str, Any]) -> str:
    lines = (f"  {key:<10} {one['email']:<34} {one['password']}" for key, one in description["people"].items())
    return "\n".join(lines)


def _tokens(description: dict[str, Any]) -> str:
    return "\n".join(f"  {key:<10} {token}" for key, token in description["tokens"].items())


TEXT = """
Weightgate is ready at {endpoint}

Open it in a browser and sign in as one of these people (email address, password):
{accounts}

To get a person's one-time code, as an authenticator app would show it:

  {operator} demo-code cleared

Emails are not sent. They are shown at {endpoint}/mails and in this terminal.

Tokens:
{tokens}

Download {stage} as the cleared partner, into ./{stage}:

  curl -sSfX POST {endpoint}/api/v1/downloads \\
    -H 'Authorization: Bearer {token}' \\
    -H 'Content-Type: application/json' -H 'Accept: text/x-curl-config' \\
    -d '{{"stage": "{stage}"}}' | curl -K - --output-dir {stage}

The same with the Hugging Face client (pip install huggingface_hub), unchanged:

  HF_ENDPOINT={endpoint} HF_HOME=hf-home \\
    HF_TOKEN={token} \\
    hf download {stage}

The same with tools that read from S3, such as aws (pip install awscli), rclone, s5cmd or vLLM:

  AWS_CONTAINER_CREDENTIALS_FULL_URI={endpoint}/api/v1/credentials/{stage} \\
    AWS_CONTAINER_AUTHORIZATION_TOKEN='Bearer {token}' \\
    AWS_ENDPOINT_URL_S3={s3_door} \\
    aws s3 cp --recursive s3://models/{stage} {stage}

A second later, see how much of it was fetched:

  curl -sS '{endpoint}/api/v1/downloads?limit=1' -H 'Authorization: Bearer {token}'

Verify, as the partner, that a download is in the log:

  export WEIGHTGATE_ENDPOINT={endpoint} WEIGHTGATE_TOKEN={token}
  curl -sSfX POST {endpoint}/api/v1/downloads -H "Authorization: Bearer $WEIGHTGATE_TOKEN" \\
    -H 'Content-Type: application/json' -d '{{"stage": "{stage}"}}' -o answer.json
  sleep 1; {client} log verify answer.json

In the same shell, download {stage} with our client, which verifies all of it:

  {client} download {stage} --to verified && {client} verify verified

List what this token can download, and why it cannot download the rest:

  curl -sS {endpoint}/api/v1/stages -H 'Authorization: Bearer {token}'

Run the operator's commands (the password of {admin} is above):

  {operator} clearance list --as {admin}
  {operator} doctor
  {operator} log verify

The same information for programs: {file}
Press Ctrl-C to stop everything. Run the same command to continue with the same data.
"""


COMMANDS = [demo]
