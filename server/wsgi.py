"""The app for gunicorn: `gunicorn -c config/gunicorn.conf.py server.wsgi:app`. WEIGHTGATE_DATA names the instance."""

import os
from pathlib import Path

from server import create_app

app = create_app(Path(os.environ.get("WEIGHTGATE_DATA", "var")))
