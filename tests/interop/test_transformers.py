"""transformers, as a partner uses it, loads what was downloaded."""

import json
import subprocess
from pathlib import Path

from tests import parts
from tests.e2e import fetching
from tests.world import World

STAGE = "mini-gpt/base"
LOAD = Path(__file__).with_name("transformers_load.py")


def test_transformers_loads_what_was_downloaded(sqlite_world: World, tmp_path: Path) -> None:
    """Every tensor and the tokenizer are there under the names it expects, and it writes text with them."""
    if not (parts.TRANSFORMERS / ".installed").exists():
        parts.missing("an environment with transformers and PyTorch")
    issued = fetching.order(sqlite_world, STAGE)
    for file in issued["files"]:
        fetching.fetch(file["url"], tmp_path / "model" / file["path"], file["size_bytes"], 1 << 20)
    command = [str(parts.TRANSFORMERS / "bin" / "python"), str(LOAD), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["parameters"] > 1_000_000
    assert len(answer["tokens"]) == 8
