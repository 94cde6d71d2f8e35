"""Load safetensors from S3 as engines do, and print the digest of each tensor. Run in an environment with PyTorch."""

import hashlib
import json
import sys

from runai_model_streamer import SafetensorsStreamer  # type: ignore[import-not-found]

digests = {}
with SafetensorsStreamer() as streamer:
    streamer.stream_files(sys.argv[1:])
    for name, tensor in streamer.get_tensors():
        digests[name] = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
print(json.dumps(digests))
