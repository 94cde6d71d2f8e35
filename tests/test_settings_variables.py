"""Settings variables: what only the environment says is named, and nothing else."""

from pathlib import Path

import pytest

from server import settings, settings_variables
from server.settings import FILE_NAME
from tests.test_settings import GOOD


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, []),
        ({"WEIGHTGATE_WEB_WORKERS": "7"}, ["web_workers"]),
        ({"WEIGHTGATE_URL_LIFETIME_SECONDS": "90"}, []),  # as in the file
        ({"WEIGHTGATE_URL_LIFETIME_SECONDS": "60", "WEIGHTGATE_REDIS_URL": "redis://:hush@x/0"},
         ["redis_url", "url_lifetime_seconds"]),
        ({"WEIGHTGATE_TRUSTED_PROXIES": "10.0.0.0/8", "WEIGHTGATE_PASSWORD": "hush"}, ["trusted_proxies"]),
        ({"WEIGHTGATE_DATA": "elsewhere", "WEIGHTGATE_PORT": "tcp://10.96.4.2:8080"}, []),
    ],
)  # fmt: skip
def test_what_would_be_lost_without_a_variable_is_named(
    tmp_path: Path, environment: dict[str, str], named: list[str]
) -> None:
    """Not what the file says as well, nor variables that are no settings."""
    (tmp_path / FILE_NAME).write_text(f"{GOOD}\nurl_lifetime_seconds = 90\n")
    assert settings_variables.names(settings.load(tmp_path, environment), environment) == named


def test_a_file_that_is_none_without_them_lacks_them_all(tmp_path: Path) -> None:
    """Whatever they say: it cannot be read without."""
    lines = [line for line in GOOD.splitlines() if not line.startswith("s3_bucket")]
    (tmp_path / FILE_NAME).write_text("\n".join(lines))
    environment = {"WEIGHTGATE_S3_BUCKET": "weights", "WEIGHTGATE_WEB_WORKERS": "7"}
    assert settings_variables.names(settings.load(tmp_path, environment), environment) == ["s3_bucket", "web_workers"]
