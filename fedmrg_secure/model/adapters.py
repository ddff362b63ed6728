"""The decoder's low-rank adapters: which there are, which one reads, which values train.

Beside a frozen weight W every linear layer of the decoder has, in the dual mode (after FedDAT,
arXiv 2308.12305), three adapters:

=====================  ===========================================================================
`generic` (G)          shared: trained at every site, added under encryption
`generic_received`     a frozen copy of G as it came at the start of the round
`specialized` (S)      the site's own: trained there, stored there, never sent
=====================  ===========================================================================

Path A reads W + G, path B reads W + generic_received + S. PEFT's own `set_adapter` also decides
which values require gradients, which drops per-record gradients of the adapter that is switched
away and thaws frozen factors; here `Adapters.reading` switches what is read and nothing else.
"""

from __future__ import annotations

import enum
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Final, cast

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from fedmrg_secure.core.linear_algebra import leading_factors
from fedmrg_secure.core.stable_random import orthonormal_rows
from fedmrg_secure.model.errors import RankTooLarge

GENERIC: Final = "generic"
RECEIVED: Final = "generic_received"
SPECIALIZED: Final = "specialized"

_SUBSPACE_ITERATIONS: Final = 4
_FACTOR = re.compile(
    r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])\.(?P<adapter>\w+?)\.(?P<part>core\.)?weight"
)


class ReadingPath(enum.Enum):
    """Which adapters a forward pass reads."""

    A = (GENERIC,)
    B = (RECEIVED, SPECIALIZED)


class CoreLinear(nn.Linear):
    """A frozen projection to `rank` values and a trained square matrix on them (Fed-SB's R)."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__(width, rank, bias=False)
        self.core = nn.Linear(rank, rank, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Shape (..., rank) of values of shape (..., width)."""
        return self.core(super().forward(values))


class Adapters:
    """All adapters of one decoder.

    A and the frozen factors are drawn from the seed, the same on every machine; every adapter
    starts as zero, so that both paths start as the frozen decoder. Trained values are float32
    whatever the decoder's dtype.

    Args:
        decoder: frozen; its linear layers but the output layer are adapted in place.
        rank: r of every adapter.
        alpha: LoRA's scaling is alpha / r.
        seed: of the run.
        factorization: ``fedsb`` puts a core between frozen factors; all others use A and B.
        dual: whether there are `generic_received` and `specialized` beside `generic`.

    Raises:
        RankTooLarge: a layer is narrower than `rank`.
    """

    def __init__(
        self,
        decoder: PreTrainedModel,
        *,
        rank: int,
        alpha: float,
        seed: int,
        factorization: str,
        dual: bool,
    ) -> None:
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,  # type: ignore[arg-type]  # PEFT only divides it by r
            target_modules="all-linear",
            lora_dropout=0.0,
            bias="none",
            task_type=TaskType.CAUSAL_LM,
            init_lora_weights=True,
        )
        self.dual = dual
        self.has_core = factorization == "fedsb"
        with warnings.catch_warnings():
            # PEFT reads a property that transformers is about to rename.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", append=False)
            self.model = cast(PeftModel, get_peft_model(decoder, config, adapter_name=GENERIC))
            for name in (RECEIVED, SPECIALIZED) if dual else ():
                self.model.add_adapter(name, config)
        self._layers = [m for m in self.model.modules() if isinstance(m, LoraLayer)]
        self._start(rank, seed)
        self.model.requires_grad_(False)
        self.receive()
        self._read(ReadingPath.A)

    @contextmanager
    def reading(self, path: ReadingPath) -> Iterator[PeftModel]:
        """The decoder as one path reads it; nothing that requires gradients is changed."""
        before = self._path
        self._read(path)
        try:
            yield self.model
        finally:
            self._read(before)

    def factors(self, adapter: str) -> dict[str, nn.Parameter]:
        """An adapter's ``{layer}.lora_A``, ``.lora_B`` and, for fedsb, ``.core``; sorted."""
        found = {}
        for name, parameter in self.model.named_parameters():
            match = _FACTOR.fullmatch(name)
            if match and match["adapter"] == adapter:
                kind = "core" if match["part"] else f"lora_{match['factor']}"
                found[f"{match['layer']}.{kind}"] = parameter
        return dict(sorted(found.items()))

    @torch.no_grad()
    def receive(self) -> None:
        """Let `generic_received` be what `generic` is now."""
        if self.dual:
            generic = self.factors(GENERIC)
            for name, received in self.factors(RECEIVED).items():
                received.copy_(generic[name])

    def save(self, folder: Path, path: ReadingPath, *, base_name: str) -> None:
        """Write what a path reads as one ordinary PEFT folder; a core is multiplied into A.

        A path of n adapters becomes one of rank n*r: B_1 A_1 + B_2 A_2 = [B_1 B_2] [A_1; A_2],
        with alpha n times as large, so that alpha / r stays.

        Args:
            folder: made when absent; gets `adapter_config.json` and `adapter_model.safetensors`.
            path: which adapters.
            base_name: what the config names as the base model.
        """
        folder.mkdir(parents=True, exist_ok=True)
        parts = [self._plain_factors(adapter) for adapter in path.value]
        joined = {
            name: torch.cat([part[name] for part in parts], dim=1 if name.endswith("B") else 0)
            for name in parts[0]
        }
        save_file(
            {f"base_model.model.{name}.weight": v.contiguous() for name, v in joined.items()},
            folder / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        config = cast(LoraConfig, copy(self.model.peft_config[GENERIC]))
        config.base_model_name_or_path = base_name
        config.r, config.lora_alpha = config.r * len(parts), config.lora_alpha * len(parts)
        config.save_pretrained(str(folder))

    def _plain_factors(self, adapter: str) -> dict[str, Tensor]:
        """An adapter's A and B, float32, with a core multiplied into A."""
        values = {name: p.detach().float().cpu() for name, p in self.factors(adapter).items()}
        for name in [name for name in values if name.endswith(".core")]:
            down = name.removesuffix("core") + "lora_A"
            values[down] = values.pop(name) @ values[down]
        return values

    def _read(self, path: ReadingPath) -> None:
        for layer in self._layers:
            layer._active_adapter = list(path.value)
        self._path = path

    @torch.no_grad()
    def _start(self, rank: int, seed: int) -> None:
        """Draw the A factors; with fedsb take both factors from the public weight."""
        for name, module in self.model.named_modules():
            if not isinstance(module, LoraLayer):
                continue
            layer = name.removeprefix("base_model.model.")
            base = cast(nn.Linear, module.get_base_layer())
            height, width = base.weight.shape
            if rank > min(height, width):
                raise RankTooLarge(
                    f"update.rank is {rank} but layer {layer} is {height} x {width}",
                    hint=f"choose a rank of at most {min(height, width)}",
                )
            if self.has_core:
                left, right = leading_factors(
                    base.weight.float().cpu().numpy(), rank, _SUBSPACE_ITERATIONS
                )
                for adapter in (GENERIC, RECEIVED) if self.dual else (GENERIC,):
                    down = CoreLinear(width, rank)
                    down.weight.copy_(torch.from_numpy(right))
                    down.core.weight.zero_()
                    module.lora_A[adapter] = down
                    _weight(module.lora_B, adapter).copy_(torch.from_numpy(left))
            else:
                rows = orthonormal_rows(rank, width, label=f"ffa/{layer}", seed=seed)
                _weight(module.lora_A, GENERIC).copy_(torch.from_numpy(rows))
            if self.dual:
                rows = orthonormal_rows(rank, width, label=f"specialized/{layer}", seed=seed)
                _weight(module.lora_A, SPECIALIZED).copy_(torch.from_numpy(rows))


def _weight(factors: nn.ModuleDict, adapter: str) -> Tensor:
    return cast(nn.Linear, factors[adapter]).weight
