"""`make lint`: the tables in the code are those that the migrations make. Run: python -m tests.migrations_check."""

import tempfile
from pathlib import Path

from server import migrations


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'schema.sqlite3'}"
        migrations.upgrade(url)
        migrations.check(url)


if __name__ == "__main__":
    main()
