"""The shape of a GPT-2, and numbers to fill it with."""

import hashlib
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

_REACH = (
    0.02 * 3**0.5
)  # uniform numbers within it have a standard deviation of 0.02, GPT-2's own at the start of training


@dataclass(frozen=True)
class Dimensions:
    """The numbers that a GPT-2 is built from, under the names that `hparams.json` gives them."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_layer: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return each tensor's shape under its original name (without the leading `model/`)."""
        width = self.n_embd
        shapes: dict[str, tuple[int, ...]] = {"wte": (self.n_vocab, width), "wpe": (self.n_ctx, width)}
        for layer in range(self.n_layer):
            at = f"h{layer}"
            shapes |= _normalization(f"{at}/ln_1", width) | _normalization(f"{at}/ln_2", width)
            shapes |= _projection(f"{at}/attn/c_attn", width, 3 * width)
            shapes |= _projection(f"{at}/attn/c_proj", width, width)
            shapes |= _projection(f"{at}/mlp/c_fc", width, 4 * width)
            shapes |= _projection(f"{at}/mlp/c_proj", 4 * width, width)
        return shapes | _normalization("ln_f", width)

    def parameters(self) -> int:
        """Return how many numbers the model has; the output layer shares those of `wte`."""
        return sum(prod(shape) for shape in self.shapes().values())


def values(seed: str, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the tensor `name`: small random numbers that depend on `seed` and `name` alone, gains near one.

    Made from the generator's raw bits, which numpy promises not to change: its floating-point methods may change.
    """
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:16], "big")
    count = prod(shape)
    bits = np.asarray(np.random.PCG64(key).random_raw((count + 1) // 2), dtype="<u8")
    numbers = bits.view("<i4")[:count].astype(np.float32)
    numbers *= np.float32(_REACH / 2**31)
    if name.endswith("/g"):
        numbers += np.float32(1)
    return numbers.reshape(shape)


def _normalization(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/g": (width,), f"{name}/b": (width,)}


def _projection(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/w": (inputs, outputs), f"{name}/b": (outputs,)}
