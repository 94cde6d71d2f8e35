"""Writes the API's description from the code: `python docs/openapi.py`, after a change to a route or a schema."""

from pathlib import Path
from tempfile import TemporaryDirectory

from server.cli import instance
from server.domain.resources import Resources
from server.storage import keys
from server.web import app
from server.web.api import description

WHATEVER = {"public_url": "http://localhost", "contact": "nobody", "log_host": "localhost", "s3_bucket": "weights"}


def main() -> None:
    with TemporaryDirectory() as folder:
        settings = instance.write_settings(Path(folder), WHATEVER)
        instance.write_keys(settings)
        keys.write_s3_credentials(settings.signer_key_file, keys.new_s3_credentials())
        description.PATH.write_bytes(description.generated(app.create(Resources(settings))))


if __name__ == "__main__":
    main()
