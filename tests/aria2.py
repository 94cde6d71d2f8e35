"""aria2c as a partner runs it: in a folder, with no settings of whoever runs the tests, and no way out."""

import hashlib
import subprocess
from pathlib import Path

from tests import parts


def run(text: str, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Give aria2c a document or an input file; return how it ended."""
    if parts.ARIA2 is None:
        parts.missing("aria2c")
    folder.mkdir(exist_ok=True)
    command = [parts.ARIA2, "--no-conf", "--no-proxy=*", "--quiet", "--dir", str(folder), *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
