"""The client for programs: `from weightgate import Client`. The command line says the same things through it."""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from weightgate import asking, credentials, state, workload
from weightgate.download import bundle, manifest, pins, verifying
from weightgate.download.downloading import Download, Downloaded, Order
from weightgate.download.folder import MANIFEST_BYTES_AT_MOST, About, Folder
from weightgate.download.manifest import File, Manifest
from weightgate.download.patience import SECONDS, Patience
from weightgate.download.progress import Event, Progress
from weightgate.download.verifying import Verified
from weightgate.http import Server
from weightgate.log import answer, keys, memory, verification
from weightgate.log.verification import Findings, Question
from weightgate.log.witnesses import demanded
from weightgate.upload.uploading import JOBS, Published, Upload
from weightgate.verdicts import CannotTell, Malformed, Refuted, Verdict, WrongUse
from weightgate.workload import Identity

MAIN = "main"
_LONG_TIMEOUT_SECONDS = 120.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(rf"{MAIN}|[0-9a-f]{{{manifest.ID_CHARACTERS}}}")

Where = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Checked:
    """A receipt that is proven: the verdict in words, and what was found, such as the witnesses."""

    verdict: Verdict
    found: Findings


class Client:
    """A server, and the token that it knows us by.

    Without an endpoint or a token, they come from the environment (WEIGHTGATE_ENDPOINT, WEIGHTGATE_TOKEN) or from
    `weightgate login`. Every method raises a `weightgate.verdicts.Ended`, whose `verdict` says what is wrong and what
    to do: Refused by the server, Refuted by a signature or hash, Failed on this machine, CannotTell, or WrongUse.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        ca: Where | None = None,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        patience_seconds: float = SECONDS,
    ) -> None:
        self._state = state.folder(environment)
        self._endpoint = endpoint or environment.get("WEIGHTGATE_ENDPOINT")
        self._token = token or environment.get("WEIGHTGATE_TOKEN", "").strip() or None
        self._ca = None if ca is None else os.fspath(ca)
        self._clock, self._patience_seconds = clock, patience_seconds

    def server(self, timeout_seconds: float | None = None) -> Server:
        """The server that is asked. Raises WrongUse where none is known."""
        known = credentials.load(self._state)
        endpoint = self._endpoint or known.endpoint
        if endpoint is None:
            raise WrongUse("no_endpoint", "Which server?", "Use --endpoint, or set WEIGHTGATE_ENDPOINT.")
        server = Server(endpoint, self._token or known.token_of(endpoint), ca=self._ca)
        return server if timeout_seconds is None else Server(endpoint, server.token, timeout_seconds, self._ca)

    def whoami(self) -> dict[str, Any]:
        """Who this token is: person, organization, role, clearances, and the token's scopes and end."""
        return asking.get(self.server(), "/api/v1/me")

    def stages(self) -> list[dict[str, Any]]:
        """Every stage that this caller can know of, with `may_download` and, where not, the refusal."""
        return asking.every(self.server(), "/api/v1/stages")

    def tokens(self) -> list[dict[str, Any]]:
        """The tokens that this caller can see, without their secrets."""
        return asking.every(self.server(), "/api/v1/tokens")

    def s3_keys(self, stage: str, identity: Identity | None = None) -> dict[str, str]:
        """Keys with which S3 tools read the files of a stage, in the form of their `credential_process`.

        identity: a workload's, in place of a token.
        """
        if not _NAME.fullmatch(stage):
            raise WrongUse("bad_stage", f"{stage[:100]!r} is not MODEL/STAGE.", "`weightgate stages` lists them.")
        if identity is not None:
            return workload.s3_keys(Server(self.server().endpoint, ca=self._ca), stage, identity)
        said = asking.get(self.server(), f"/api/v1/credentials/{stage}")
        try:
            return {
                "AccessKeyId": str(said["AccessKeyId"]), "SecretAccessKey": str(said["SecretAccessKey"]),
                "SessionToken": str(said["Token"]), "Expiration": str(said["Expiration"]),
            }  # fmt: skip
        except KeyError:
            raise CannotTell("bad_answer", "The server's answer is not what it should be.") from None

    def download(
        self,
        stage: str,
        paths: Sequence[str] = (),
        *,
        to: Where | None = None,
        checkpoint: str = MAIN,
        older: Where | None = None,
        jobs: int | None = None,
        replace: bool = False,
        manifest_key: Where | None = None,
        tell: Event = lambda _: None,
    ) -> Downloaded:
        """Download files of a checkpoint, all without `paths`, and verify them; what is there already is not fetched.

        to: a folder; without it, one of the stage's name. older: a folder with another checkpoint, to copy chunks from.
        jobs: how many transfers run in parallel; None: 8, or 16 for small files. replace: overwrite files that are not
        the published ones. manifest_key: the lab's key, if it gave it to you. tell: gets the events of progress.
        """
        if not _NAME.fullmatch(stage) or not _ID.fullmatch(checkpoint):
            raise WrongUse(
                "bad_name",
                "A stage is named like gpt-2/774M, a checkpoint by its ID.",
                "List them: `weightgate stages`.",
            )
        server = self.server(_LONG_TIMEOUT_SECONDS)
        forms, signed = self._manifest(server, stage, checkpoint, manifest_key)
        folder, wanted = Folder(Path(to or stage)), _wanted(signed, paths)
        with folder.alone():
            about = _about(folder, server.endpoint, stage, signed, paths)
            folder.keep_manifests(*forms)
            folder.describe(about)
            before = None if older is None else Folder(Path(older))
            order = Order(stage, wanted, signed, folder, before, None if jobs is None else max(1, jobs), replace)
            done = Download(self.server(), order, Progress(tell), Patience(self._patience_seconds)).run()
            folder.describe(About(about.endpoint, about.stage, about.checkpoint, about.paths, complete=True))
        return done

    def publish(
        self,
        folder: Where,
        stage: str,
        *,
        note: str | None = None,
        jobs: int = JOBS,
        tell: Event = lambda _: None,
    ) -> Published:
        """Publish the files of a folder as a checkpoint of a stage; the token is a publisher's.

        Returns once it is visible, or waits for another person's approval. tell: gets the events of progress.
        """
        if not _NAME.fullmatch(stage):
            raise WrongUse("bad_name", "A stage is named like gpt-2/774M.", "List them: `weightgate stages`.")
        server = self.server(_LONG_TIMEOUT_SECONDS)
        if server.token is None:
            raise WrongUse("no_token", "Publishing needs a token.", "Use --token-file, or set WEIGHTGATE_TOKEN.")
        return Upload(server, max(1, jobs), tell, Patience(self._patience_seconds)).run(Path(folder), stage, note)

    def verify(self, folder: Where, *, manifest_key: Where | None = None) -> Verified:
        """Check a folder that was downloaded against its manifest, without any network."""
        kept = Folder(Path(folder))
        about = kept.about()
        if about is None:
            raise verifying.nothing_to_verify(kept.path)
        if manifest_key is not None:
            return verifying.verify(kept, about, pins.read_key_file(Path(manifest_key)))
        with pins.opened(self._state) as known:
            key = known.recall(about.endpoint)
        if key is None:
            raise CannotTell(
                "no_key",
                f"The manifest key of {about.endpoint} is not known on this machine.",
                "Ask the lab for it, and pass it with --manifest-key.",
            )
        return verifying.verify(kept, about, key)

    def verify_receipt(
        self,
        saved: bytes,
        *,
        log_vkey: str | None = None,
        receipt_vkey: str | None = None,
        witnesses: Sequence[str] = (),
        witnesses_required: int | None = None,
    ) -> Checked:
        """Check a saved answer of POST /api/v1/downloads against the server's log, as `weightgate log verify` does.

        witnesses: verifier keys of outside witnesses, of whom witnesses_required (all without it) must have cosigned a
        head of the log that has this entry; both are remembered. Raises Refuted, CannotTell, WrongUse.
        """
        question = Question(
            saved=answer.parse(saved),
            server=self.server(),
            given=keys.given(log_vkey, receipt_vkey),
            clock=self._clock,
            witnesses=demanded(witnesses, witnesses_required),
        )
        found = Findings()
        with memory.opened(self._state) as remembered:
            verdict = verification.verify(question, remembered, found)
        return Checked(verdict, found)

    def forget(self, endpoint: str) -> None:
        """Forget a server's manifest key: only for another server at the same address."""
        with pins.opened(self._state) as known:
            known.forget(endpoint)

    def _manifest(
        self, server: Server, stage: str, checkpoint: str, key_file: Where | None
    ) -> tuple[tuple[bytes, bytes], Manifest]:
        """Both forms, checked under the key, which is remembered once a manifest was signed by it."""
        where = f"/api/v1/stages/{stage}/checkpoints"
        files_form = asking.content(server, f"{where}/{checkpoint}/manifest", MANIFEST_BYTES_AT_MOST)
        found = manifest.id_of(files_form)
        if checkpoint not in {MAIN, found}:
            raise Refuted("other_checkpoint", f"The server gave the checkpoint {found} in place of {checkpoint}.")
        chunks_form = asking.content(server, f"{where}/{found}/manifest/chunks", MANIFEST_BYTES_AT_MOST)
        with pins.opened(self._state) as known:
            key = pins.read_key_file(Path(key_file)) if key_file is not None else known.recall(server.endpoint)
            shown = key or _shown_key(server)
            signed = manifest.read(files_form, chunks_form, shown)
            known.pin(server.endpoint, shown, self._clock())
        return (files_form, chunks_form), signed


def _shown_key(server: Server) -> ec.EllipticCurvePublicKey:
    pem = asking.get(server, "/api/v1/keys").get("manifest_public_key")
    try:
        return bundle.load_key(str(pem).encode())
    except Malformed as error:
        raise CannotTell(
            "malformed_keys", f"The server's manifest key is malformed: {error}.", "Check --endpoint."
        ) from None


def _wanted(signed: Manifest, paths: Sequence[str]) -> list[File]:
    unknown = [path for path in paths if path not in signed.files]
    if unknown:
        names = ", ".join(sorted(signed.files)[:8])
        raise WrongUse("no_such_file", f"The checkpoint has no file {unknown[0]!a}.", f"It has: {names}.")
    return [file for path, file in signed.files.items() if not paths or path in paths]


def _about(folder: Folder, endpoint: str, stage: str, signed: Manifest, paths: Sequence[str]) -> About:
    """What will lie in the folder, with what an earlier run began there. Raises WrongUse for another checkpoint."""
    before = folder.about()
    if before is None:
        return About(endpoint, stage, signed.checkpoint_id, sorted(paths) or None, complete=False)
    if before.checkpoint != signed.checkpoint_id:
        raise WrongUse(
            "other_checkpoint",
            f"{folder.path} holds the checkpoint {before.checkpoint} of {before.stage}, not {signed.checkpoint_id}.",
            f"Choose another folder with --to, and copy what is the same with --from {folder.path}.",
        )
    together = None if before.paths is None or not paths else sorted({*before.paths, *paths})
    return About(endpoint, stage, signed.checkpoint_id, together, complete=False)
