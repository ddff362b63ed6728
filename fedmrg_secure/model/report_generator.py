"""The model that a federation trains: encoder, diagnosis, prompts, adapted decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fedmrg_secure.core.config import ModelConfig, UpdateConfig
from fedmrg_secure.core.types import CHEXPERT_CLASSES
from fedmrg_secure.model.adapters import (
    add_generic_adapter,
    plain_lora_count,
    save_peft_folder,
    trainable_factors,
)
from fedmrg_secure.model.decoder import (
    ReportTokenizer,
    ReportTokens,
    VisualPrefix,
    check_context,
    report_logits,
)
from fedmrg_secure.model.diagnosis import Diagnosis, DiagnosisHead, StatusPrompts
from fedmrg_secure.model.encoder import FEATURE_WIDTH, VisionEncoder
from fedmrg_secure.model.errors import StateMismatch, UnknownClass
from fedmrg_secure.model.fingerprint import base_fingerprint, tokenizer_fingerprint
from fedmrg_secure.model.generation import SearchLimits, beam_search, greedy_search
from fedmrg_secure.model.initialisation import embedding_scale, initialise, prompt_start
from fedmrg_secure.model.pretrained import PretrainedDecoder, load_decoder, save_decoder

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Numbers of values.

    Attributes:
        total: of the whole model, frozen and trained.
        decoder: of the frozen language model without adapters.
        shared: what a site sends a round.
        adapters: of those, the low-rank part.
        plain_lora: what a site would send with ordinary LoRA: the same with A beside every B.
    """

    total: int
    decoder: int
    shared: int
    adapters: int
    plain_lora: int


@dataclass(frozen=True, slots=True)
class GeneratorOutput:
    """What a forward pass gives to the objectives.

    Attributes:
        diagnosis_logits: shape (batch, C, 4), float32.
        report_logits: shape (batch, T, vocabulary), float32.
    """

    diagnosis_logits: Tensor
    report_logits: Tensor


class ReportGenerator(nn.Module):
    """Chest X-ray to report.

    Use `build_report_generator`; the constructor takes the parts.
    """

    def __init__(
        self,
        base: PretrainedDecoder,
        model: ModelConfig,
        update: UpdateConfig,
        *,
        image_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        classes = len(model.classes)
        positions = model.visual_tokens + classes + 1 + model.max_report_tokens
        check_context(base, positions)
        width = base.embeddings.shape[1]
        decoder_count = sum(p.numel() for p in base.model.parameters())
        self.encoder = VisionEncoder(image_size)
        self.diagnosis = DiagnosisHead(FEATURE_WIDTH, classes)
        self.prompts = StatusPrompts(prompt_start(base, model.classes))
        self.projector = VisualPrefix(
            FEATURE_WIDTH, width, model.visual_tokens, scale=embedding_scale(base)
        )
        for part in ("encoder", "diagnosis", "projector"):
            initialise(getattr(self, part), label=part, seed=seed)
        self.decoder = add_generic_adapter(
            base.model, rank=update.rank, alpha=update.alpha, seed=seed
        )
        self.tokens = ReportTokenizer(base.tokenizer, model.max_report_tokens)
        self.limits = SearchLimits(
            self.tokens.begin_id,
            self.tokens.end_id,
            model.min_report_tokens,
            model.max_report_tokens,
        )
        self.class_columns = _class_columns(model.classes)
        self._beams = model.beams
        self._base = base
        self._shared = self._name_shared()
        self.parameter_counts = self._count(decoder_count)
        self.tokenizer_hash = tokenizer_fingerprint(base.tokenizer)
        self.base_hash = base_fingerprint(
            self, self.tokenizer_hash, model=model, update=update, image_size=image_size
        )

    def forward(
        self,
        images: Tensor,
        reports: ReportTokens,
        statuses: Tensor,
        predicted: Tensor | None = None,
    ) -> GeneratorOutput:
        """Logits for training.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].
            reports: from `self.tokens.encode`.
            statuses: true statuses, shape (batch, C), int64.
            predicted: where True the prompt takes the head's own likeliest status instead of the
                true one, shape (batch, C), bool; nowhere when None.
        """
        features = self.encoder(images)
        diagnosis_logits = self.diagnosis(features.pooled)  # (batch, C, 4)
        if predicted is not None:
            statuses = torch.where(predicted, diagnosis_logits.detach().argmax(-1), statuses)
        prefix = torch.cat([self.projector(features.patches), self.prompts(statuses)], dim=1)
        return GeneratorOutput(diagnosis_logits, report_logits(self.decoder, prefix, reports))

    @torch.no_grad()
    def diagnose(self, images: Tensor) -> Diagnosis:
        """Status probabilities of images of shape (batch, 1, H, H)."""
        logits = self.diagnosis(self.encoder(images).pooled)
        return Diagnosis(torch.softmax(logits, dim=-1))

    @torch.no_grad()
    def generate(self, images: Tensor, *, beams: int | None = None) -> list[str]:
        """Write a report for each image.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].
            beams: width of the beam search, 1 is greedy; as configured when None.
        """
        features = self.encoder(images)
        statuses = self.diagnosis(features.pooled).argmax(-1)  # (batch, C)
        prefix = torch.cat([self.projector(features.patches), self.prompts(statuses)], dim=1)
        width = self._beams if beams is None else beams
        if width == 1:
            found = greedy_search(self.decoder, prefix, self.limits)
        else:
            found = beam_search(self.decoder, prefix, self.limits, width)
        return self.tokens.decode([hypothesis.tokens for hypothesis in found])

    def shared_state(self) -> dict[str, FloatArray]:
        """A copy of every tensor that is trained and shared, float32, sorted by name."""
        return {
            name: parameter.detach().cpu().numpy().astype(np.float32, copy=True)
            for name, parameter in self._shared.items()
        }

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters behind `shared_state`, by the same names."""
        return dict(self._shared)

    @torch.no_grad()
    def load_shared_state(self, state: Mapping[str, FloatArray]) -> None:
        """Take over what `shared_state` gave; nothing is changed when it does not fit.

        Raises:
            StateMismatch: a name is missing or unknown, a shape differs, a value is not finite.
        """
        _check_state(state, self._shared)
        for name, parameter in self._shared.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(state[name])))

    def save_adapter(self, folder: Path) -> None:
        """Write the generic adapter as a folder that `PeftModel.from_pretrained` loads."""
        save_peft_folder(self.decoder, folder, base_name=self._base.name)

    def save_base(self, folder: Path) -> None:
        """Write the frozen decoder, without adapter, and its tokenizer as a transformers folder."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            name.replace(".base_layer.", "."): tensor
            for name, tensor in self.decoder.get_base_model().state_dict().items()
            if ".lora_" not in name
        }
        save_decoder(self._base.model, plain, folder)
        self._base.tokenizer.save_pretrained(folder)

    def _name_shared(self) -> dict[str, nn.Parameter]:
        named = {
            f"{part}.{name}": parameter
            for part in ("encoder", "diagnosis", "prompts", "projector")
            for name, parameter in getattr(self, part).named_parameters()
        }
        for layer, parameter in trainable_factors(self.decoder).items():
            named[f"adapter.generic.{layer}.lora_B"] = parameter
        return dict(sorted(named.items()))

    def _count(self, decoder_count: int) -> ParameterCounts:
        shared = sum(p.numel() for p in self._shared.values())
        adapters = sum(p.numel() for p in trainable_factors(self.decoder).values())
        return ParameterCounts(
            total=sum(p.numel() for p in self.parameters()),
            decoder=decoder_count,
            shared=shared,
            adapters=adapters,
            plain_lora=shared - adapters + plain_lora_count(self.decoder),
        )


def build_report_generator(
    model: ModelConfig, update: UpdateConfig, *, image_size: int, seed: int
) -> ReportGenerator:
    """The model of a run, equal to the last bit wherever it is built from the same arguments.

    Args:
        model: the configuration's section.
        update: the configuration's section; fixes the adapters.
        image_size: H of the square input in pixels.
        seed: of the run; fixes starting weights and the adapters' frozen matrices.

    Raises:
        DecoderUnavailable, HubAccessOff, AssetTampered: see `model.pretrained.load_decoder`.
        RankTooLarge, ContextTooShort: the parts do not fit.
    """
    dtype = torch.bfloat16 if model.dtype == "bfloat16" else torch.float32
    base = load_decoder(model.decoder, allow_hub=model.allow_hub, dtype=dtype)
    return ReportGenerator(base, model, update, image_size=image_size, seed=seed)


def _class_columns(classes: Sequence[str]) -> list[int]:
    """Where each class stands in `CHEXPERT_CLASSES`, in whose order records are labelled."""
    unknown = [name for name in classes if name not in CHEXPERT_CLASSES]
    if unknown:
        raise UnknownClass(
            f"model.classes names {unknown}, for which there is no label",
            hint=f"choose among {', '.join(CHEXPERT_CLASSES)}",
        )
    return [CHEXPERT_CLASSES.index(name) for name in classes]


def images_tensor(images: Sequence[FloatArray]) -> Tensor:
    """Stack images of shape (H, H) to the model's input, shape (batch, 1, H, H)."""
    return torch.from_numpy(np.stack(images))[:, None]


def _check_state(state: Mapping[str, FloatArray], shared: Mapping[str, nn.Parameter]) -> None:
    hint = "the state belongs to a model with another configuration"
    missing, unknown = sorted(shared.keys() - state.keys()), sorted(state.keys() - shared.keys())
    if missing or unknown:
        raise StateMismatch(
            f"the state lacks {missing[:3]} and has unknown {unknown[:3]}"
            f" ({len(missing)} and {len(unknown)} in all)",
            hint=hint,
        )
    for name, parameter in shared.items():
        if tuple(state[name].shape) != tuple(parameter.shape):
            raise StateMismatch(
                f"{name} has shape {tuple(state[name].shape)}, expected {tuple(parameter.shape)}",
                hint=hint,
            )
        if not np.isfinite(state[name]).all():
            raise StateMismatch(f"{name} holds a value that is not finite", hint="")
