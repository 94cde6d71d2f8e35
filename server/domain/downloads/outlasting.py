"""Outlasting: how long what was issued goes on working after access ends, where nothing but its end stops it."""

from datetime import timedelta

from server.domain.downloads.session_downloads import BEGINS_WITHIN_SECONDS
from server.settings import URL_LIFETIME_SECONDS_AT_MOST, Settings


def seconds(settings: Settings) -> int:
    """The longest that anything works which is issued under these settings."""
    return max(settings.url_lifetime_seconds, _keys_seconds(settings))


def at_most(settings: Settings) -> timedelta:
    """The same of what was issued under earlier settings of URLs."""
    return timedelta(seconds=max(URL_LIFETIME_SECONDS_AT_MOST, _keys_seconds(settings)))


def sentence(settings: Settings) -> str:
    """It in words."""
    told = f"URLs that were already issued work for up to {settings.url_lifetime_seconds} seconds"
    if made_by_the_store := _keys_seconds(settings):
        told += f", and keys for S3 tools, which the store made, for up to {made_by_the_store} seconds"
    return f"{told}."


def _keys_seconds(settings: Settings) -> int:
    return settings.s3_key_lifetime_seconds + BEGINS_WITHIN_SECONDS if settings.s3_door == "sts" else 0
