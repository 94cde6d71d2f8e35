"""The GPT-2 ladder: the seven files of each stage, with the original names, layers and tensors."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from server.example import byte_pairs, tensorflow_bundle
from server.example.architecture import Dimensions, values

FILES = (
    "checkpoint",
    "encoder.json",
    "hparams.json",
    "model.ckpt.data-00000-of-00001",
    "model.ckpt.index",
    "model.ckpt.meta",
    "vocab.bpe",
)
_CONTEXT = 1024
_TRUE_VOCABULARY, _SMALL_VOCABULARY = 50257, 512
_NARROWING = 32  # each layer keeps its heads, two numbers wide: a thousandth of the parameters


@dataclass(frozen=True)
class Stage:
    """One step of the 2019 release.

    parameters: of the original. released: ISO 8601, as precise as the release notes are.
    """

    name: str
    aliases: tuple[str, ...]
    parameters: int
    layers: int
    width: int
    heads: int
    released: str

    def dimensions(self, *, true_size: bool = False) -> Dimensions:
        """Return what the stage is built from: the original's numbers, or the same model a thousandth of the size."""
        vocabulary = _TRUE_VOCABULARY if true_size else _SMALL_VOCABULARY
        width = self.width if true_size else self.width // _NARROWING
        return Dimensions(vocabulary, _CONTEXT, width, self.heads, self.layers)


STAGES = (
    Stage("124M", ("117M",), 124_439_808, layers=12, width=768, heads=12, released="2019-02"),
    Stage("355M", ("345M",), 354_823_168, layers=24, width=1024, heads=16, released="2019-05"),
    Stage("774M", ("762M",), 774_030_080, layers=36, width=1280, heads=20, released="2019-08-20"),
    Stage("1558M", ("1542M",), 1_557_611_200, layers=48, width=1600, heads=25, released="2019-11-05"),
)


def write(folder: Path, stage: str, *, true_size: bool = False) -> None:
    """Write the seven files of a stage; a second run writes the same bytes.

    stage: a name in `STAGES`. true_size: the original's sizes, 0.5 GB (124M) to 6.2 GB (1558M), instead of 0.5 to 6 MB.
    Raises ValueError when there is no such stage.
    """
    if stage not in (each.name for each in STAGES):
        raise ValueError(f"no stage {stage!r}: one of {', '.join(each.name for each in STAGES)}")
    dimensions = next(each for each in STAGES if each.name == stage).dimensions(true_size=true_size)
    vocabulary = byte_pairs.vocabulary(dimensions.n_vocab)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hparams.json").write_text(json.dumps(asdict(dimensions), indent=2) + "\n")
    (folder / "encoder.json").write_text(json.dumps(vocabulary.ids))
    (folder / "vocab.bpe").write_text(vocabulary.merges_text(), encoding="utf-8")
    tensorflow_bundle.write(folder, "model.ckpt", _tensors(stage, dimensions))


def _tensors(stage: str, dimensions: Dimensions) -> Iterator[tuple[str, tensorflow_bundle.Tensor]]:
    for name, shape in sorted(dimensions.shapes().items()):
        # The original's projections are convolutions of width one, and say so in their shape.
        original_shape = (1, *shape) if name.endswith("/w") else shape
        yield f"model/{name}", values(f"gpt-2/{stage}", name, original_shape)
