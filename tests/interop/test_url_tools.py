"""Tools that are given a URL and nothing else: what they fetch is byte for byte what was published."""

import os
import subprocess
from pathlib import Path

from tests import parts
from tests.aria2 import digests
from tests.world import World

STAGE = "gpt-2/774M"


def test_rclone_copies_from_urls(sqlite_world: World, tmp_path: Path) -> None:
    """`rclone copyurl`, with no configuration of whoever runs the tests."""
    if parts.RCLONE is None:
        parts.missing("rclone")
    issued = sqlite_world.api("POST", "/downloads", json={"stage": STAGE}).get_json()
    for file in issued["files"]:
        command = [parts.RCLONE, "copyurl", file["url"], str(tmp_path / "got" / file["path"])]
        environment = os.environ | {"RCLONE_CONFIG": str(tmp_path / "none.conf"), "no_proxy": "*"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "got") == digests(sqlite_world.template.sources / STAGE)
