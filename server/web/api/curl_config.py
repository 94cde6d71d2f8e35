"""A download as a config for `curl -K -`: one file a URL, into the folder where curl is run.

A file that was cut stays as far as it came, and so does one that is complete, whatever happens to a later run.
"""

from collections.abc import Iterable

from server.domain.publish.checkpoints import File

MIME_TYPE = "text/x-curl-config"
# fail: an error page must never be saved as weights. fail-early: and the whole must not end as if it were done.
# Not remove-on-error: it removes files that were complete before, when a second run is refused.
_HEAD = "fail\nfail-early\ncreate-dirs\nparallel\nparallel-max = 4\n"
# Between the config and curl, in the folder: leaves out each file that is there in its full size.
LEAVE_OUT_COMPLETE = r"""awk 'BEGIN { RS = ""; ORS = "\n\n" }
  { split($0, part, "\""); file = part[4]
    if (file == "" || system("test -f \"" file "\" && test $(wc -c < \"" file "\") -eq " $2)) print }'"""

# In place of curl, in the folder: wget, told each file's name, since it would take a signed URL's whole query into it.
WITH_WGET = r"""sed -n 's/^url = //p; s/^output = //p' \
  | xargs -n 2 sh -c 'mkdir -p "$(dirname "$1")" && wget -nv -O "$1" "$0"'"""


def render(files: Iterable[tuple[File, str]]) -> str:
    """Return the config. files: each with its URL. Paths were checked when they were published: relative, and of
    harmless characters.
    """
    return _HEAD + "".join(
        f"\n# {file.size_bytes} bytes\nurl = {_quoted(url)}\noutput = {_quoted(file.path)}\n" for file, url in files
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
