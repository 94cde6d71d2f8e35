"""Copy a folder of the bucket with an S3 library for Python as it comes, and go on reading when told to.

usage: python s3_libraries.py LIBRARY PREFIX FOLDER   (in an environment made from s3-libraries.txt or s3-torch.txt)

What it needs to know of the door stands in the environment. After the copy it prints a line of JSON with the names, and
another for each line from the standard input: the first file is read again, with the same client, and the line says how
many bytes came or what the library says instead. Nothing here imports the server.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Reads = tuple[Callable[[str], Iterable[str]], Callable[[str], bytes]]  # the keys below a prefix; the bytes of a key
ENDPOINT = os.environ["AWS_ENDPOINT_URL_S3"]
BUCKET = "models"


def with_s3fs() -> Reads:
    import s3fs  # type: ignore[import-not-found]

    files: Any = s3fs.S3FileSystem(use_listings_cache=False)
    return (
        lambda prefix: [path.partition("/")[2] for path in files.find(f"{BUCKET}/{prefix}")],
        lambda key: files.cat_file(f"{BUCKET}/{key}"),
    )


def with_obstore() -> Reads:
    from obstore.store import S3Store  # type: ignore[import-not-found]

    once, plain = {"max_retries": 0}, {"allow_http": True}
    store: Any = S3Store(BUCKET, endpoint=ENDPOINT, client_options=plain, retry_config=once)
    return (
        lambda prefix: [found["path"] for found in store.list(prefix).collect()],
        lambda key: bytes(store.get(key).bytes()),
    )


def with_pyarrow() -> Reads:
    from pyarrow import fs

    address = urlsplit(ENDPOINT)
    files: Any = fs.S3FileSystem(endpoint_override=address.netloc, scheme=address.scheme, region="us-east-1")
    return (
        lambda prefix: [
            found.path.partition("/")[2]
            for found in files.get_file_info(fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True))
            if found.is_file
        ],
        lambda key: files.open_input_file(f"{BUCKET}/{key}").readall(),
    )


def with_minio() -> Reads:
    from minio import Minio  # type: ignore[import-not-found]
    from minio.credentials import IamAwsProvider  # type: ignore[import-not-found]

    address = urlsplit(ENDPOINT)
    client: Any = Minio(
        address.netloc, secure=address.scheme == "https", region="us-east-1",
        credentials=IamAwsProvider(custom_endpoint=os.environ.get("AWS_ENDPOINT_URL_STS")),
    )  # fmt: skip
    return (
        lambda prefix: [
            found.object_name for found in client.list_objects(BUCKET, prefix=f"{prefix}/", recursive=True)
        ],
        lambda key: client.get_object(BUCKET, key).read(),
    )


def with_s3torchconnector() -> Reads:
    from s3torchconnector import S3ClientConfig, S3MapDataset  # type: ignore[import-not-found]
    from s3torchconnector._s3client import S3Client  # type: ignore[import-not-found]

    config = S3ClientConfig(force_path_style=True, max_attempts=1)
    dataset: Any = S3MapDataset
    more = {"region": "us-east-1", "endpoint": ENDPOINT, "s3client_config": config}
    client: Any = S3Client(region="us-east-1", endpoint=ENDPOINT, s3client_config=config)
    return (
        lambda prefix: [found.key for found in dataset.from_prefix(f"s3://{BUCKET}/{prefix}/", **more)],
        lambda key: client.get_object(BUCKET, key).read(),
    )


LIBRARIES = {name[5:]: made for name, made in globals().items() if name.startswith("with_")}


def main(library: str, prefix: str, folder: Path) -> None:
    """Nothing that goes wrong in the copy is caught: its message ends the program."""
    keys, read = LIBRARIES[library]()
    names = []
    for key in sorted(keys(prefix)):
        names.append(key.rpartition("/")[2])
        (folder / names[-1]).write_bytes(read(key))
    print(json.dumps(names), flush=True)
    for _ in sys.stdin:
        try:
            answer = f"{len(read(f'{prefix}/{names[0]}'))} bytes"
        except Exception as error:  # noqa: BLE001, RUF100  # each library has its own
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
