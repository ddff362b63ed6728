"""Makes the built-in pretrained encoder from public phantom films: `make base-model`.

Hospitals seldom begin with an encoder that has seen nothing. This one is
`model.encoder.VisionEncoder` after learning, with a linear head, what the reports of
`data.task.public_studies` say of fourteen classes: films of phantoms that no centre of the
benchmark holds, from machines of no centre. Only the encoder is kept; what its features mean to a
report is for a federation to learn.

The films come from the generator of the benchmark's own, so that the features fit them better than
public films would fit a hospital's: figures of models that start from it say so.

Weights are stored as float16, which float32 represents exactly.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor

from fedmrg_secure.core.types import (
    CHEXPERT_CLASSES,
    PRETRAINED_ENCODER_PIXELS,
    PRETRAINED_ENCODER_WIDTH,
)
from fedmrg_secure.data.records import Record
from fedmrg_secure.data.task import public_studies
from fedmrg_secure.model.diagnosis import DiagnosisHead
from fedmrg_secure.model.encoder import VisionEncoder
from fedmrg_secure.model.initialisation import initialise
from fedmrg_secure.model.pretrained import BUILTIN_FOLDER, ENCODER_FILE
from fedmrg_secure.training.objectives import diagnosis_loss
from fedmrg_secure.training.pretraining import minimise

STUDIES_SEED: Final = 2
STUDIES: Final = 16_000
BATCH_SIZE: Final = 48
PEAK_LEARNING_RATE: Final = 2e-3
WARMUP_STEPS: Final = 100
_SEED: Final = 1
_HEAD: Final = "public head"
"""Not as a run names its own: from the same start the features would fit a head that has learned
nothing, and an untrained model would diagnose."""


def pretrain(studies: Sequence[Record], steps: int) -> VisionEncoder:
    """Train a fresh encoder on public studies, each batch drawn anew."""
    films, statuses = _films(studies), torch.tensor([list(each.labels) for each in studies])
    encoder = VisionEncoder(PRETRAINED_ENCODER_PIXELS, PRETRAINED_ENCODER_WIDTH)
    head = DiagnosisHead(PRETRAINED_ENCODER_WIDTH, len(CHEXPERT_CLASSES))
    initialise(encoder, label="public encoder", seed=_SEED)
    initialise(head, label=_HEAD, seed=_SEED)
    random = np.random.default_rng(_SEED)

    def loss_of(_step: int) -> Tensor:
        chosen = random.integers(len(studies), size=BATCH_SIZE)
        logits = head(encoder(_tensor(films[chosen])).pooled)  # (batch, C, 4)
        return diagnosis_loss(logits, statuses[chosen], None).mean()

    minimise(
        loss_of,
        [*encoder.parameters(), *head.parameters()],
        steps,
        peak=PEAK_LEARNING_RATE,
        warmup=WARMUP_STEPS,
        weight_decay=0.02,
        unit="nats/class",
    )
    return encoder


def save_encoder(encoder: VisionEncoder, file: Path) -> None:
    """Write the weights."""
    weights = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    save_file(weights, file, metadata={"format": "pt"})
    file.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the encoder and print the SHA-256 that `model.pretrained` pins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILTIN_FOLDER)
    parser.add_argument("--steps", type=int, default=1600)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / ENCODER_FILE
    save_encoder(pretrain(public_studies(STUDIES_SEED, STUDIES), options.steps), file)
    print(f'    "{hashlib.sha256(file.read_bytes()).hexdigest()}"')  # noqa: T201


def _films(studies: Sequence[Record]) -> npt.NDArray[np.uint8]:
    """All images in 256 shades, as films are stored; shape (studies, H, H)."""
    side = PRETRAINED_ENCODER_PIXELS
    films = np.empty((len(studies), side, side), dtype=np.uint8)
    for place, each in enumerate(studies):
        films[place] = np.rint(255 * each.load_image(side))
        if place % 1000 == 0:
            print(f"film {place} of {len(studies)}", file=sys.stderr, flush=True)  # noqa: T201
    return films


def _tensor(films: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(films).unsqueeze(1).float().div(255)


if __name__ == "__main__":
    main()
