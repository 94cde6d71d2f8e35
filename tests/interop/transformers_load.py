"""Load a model with transformers, on the CPU, and let it write a few tokens.

usage: python transformers_load.py SOURCE   (in an environment made from transformers.txt)

SOURCE is a folder, which is loaded offline, or a repository of HF_ENDPOINT.

Prints one line of JSON: {"parameters": ..., "tokens": [...]}. Exit 1: a tensor is missing, unexpected or of another
shape, or the tokenizer does not give a text back as it was. Nothing here imports the server.
"""

import json
import os
import sys
from pathlib import Path

if Path(sys.argv[-1]).is_dir():
    os.environ["HF_HUB_OFFLINE"] = "1"
os.environ |= {"TRANSFORMERS_VERBOSITY": "warning", "CUDA_VISIBLE_DEVICES": ""}

import torch  # type: ignore[import-not-found]  # after the environment, which it reads once
from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]

_TEXT = "The next stage: naïve café, Ελληνικά, 模型, 🙂\n\tand a tab."
_NEW_TOKENS = 8


def main(source: str) -> int:
    """Return the exit code; say on the error stream what was wrong."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    model, loading = AutoModelForCausalLM.from_pretrained(source, output_loading_info=True)
    wrong = {kind: sorted(map(str, found)) for kind, found in loading.items() if found}
    encoded = tokenizer(_TEXT, return_tensors="pt")
    back = tokenizer.decode(encoded["input_ids"][0])
    if back != _TEXT:
        wrong["tokenizer"] = [f"{_TEXT!r} came back as {back!r}"]
    if wrong:
        print(f"not as published: {json.dumps(wrong, ensure_ascii=False)}", file=sys.stderr)
        return 1
    torch.manual_seed(0)
    written = model.generate(**encoded, max_new_tokens=_NEW_TOKENS, min_new_tokens=_NEW_TOKENS, do_sample=False)
    tokens = written[0, encoded["input_ids"].shape[1] :].tolist()
    print(json.dumps({"parameters": model.num_parameters(), "tokens": tokens}))
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: transformers_load.py SOURCE", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1]))
