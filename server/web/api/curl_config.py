"""A download as a config for `curl -K -`: one file a URL, into the folder where curl is run."""

from collections.abc import Sequence

MIME_TYPE = "text/x-curl-config"
# fail: an error page must never be saved as weights. fail-early: and the whole must not end as if it were done.
_HEAD = "fail\nfail-early\nremove-on-error\ncreate-dirs\nparallel\nparallel-max = 4\n"


def render(paths: Sequence[str], urls: Sequence[str]) -> str:
    """Return the config. Paths were checked when they were published: relative, and of harmless characters."""
    return _HEAD + "".join(
        f"\nurl = {_quoted(url)}\noutput = {_quoted(path)}\n" for path, url in zip(paths, urls, strict=True)
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
