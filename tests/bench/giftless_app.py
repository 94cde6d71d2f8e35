"""giftless as a server runs it; with WITHOUT_HEAD without its question to the store how large each object is.

Runs in giftless' own environment: nothing of ours is imported.
"""

import os

from giftless.app import init_app  # type: ignore[import-not-found]
from giftless.storage.amazon_s3 import AmazonS3Storage  # type: ignore[import-not-found]

if size := os.environ.get("WITHOUT_HEAD"):
    AmazonS3Storage.get_size = lambda *_: int(size)

app = init_app()
