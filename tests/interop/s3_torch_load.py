"""Load safetensors from S3 with PyTorch's own reader, and print the digest of each tensor, as runai_load.py does."""

import hashlib
import json
import os
import sys
from typing import Any

from s3torchconnector import S3Checkpoint, S3ClientConfig  # type: ignore[import-not-found]
from safetensors.torch import load

config = S3ClientConfig(force_path_style=True)
checkpoint: Any = S3Checkpoint("us-east-1", endpoint=os.environ["AWS_ENDPOINT_URL_S3"], s3client_config=config)
digests = {}
for address in sys.argv[1:]:
    with checkpoint.reader(address) as file:
        for name, tensor in load(file.read()).items():
            digests[name] = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
print(json.dumps(digests))
