"""The model that a federation trains: encoder, diagnosis, prompts, adapted decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional

from fedmrg_secure.core.config import ModelConfig, UpdateConfig
from fedmrg_secure.model.adapters import Adapters, ReadingPath
from fedmrg_secure.model.contrast import AnchorAttention, head_anchors, text_anchors
from fedmrg_secure.model.decoder import (
    ReportTokenizer,
    ReportTokens,
    VisualPrefix,
    check_context,
    report_logits,
)
from fedmrg_secure.model.diagnosis import Diagnosis, DiagnosisHead, StatusPrompts
from fedmrg_secure.model.encoder import ImageFeatures, build_encoder
from fedmrg_secure.model.fingerprint import base_fingerprint, tokenizer_fingerprint
from fedmrg_secure.model.generation import SearchLimits, Voice, beam_search, greedy_search
from fedmrg_secure.model.initialisation import embedding_scale, initialise, prompt_start
from fedmrg_secure.model.naming import (
    class_columns,
    is_trained,
    shared_parameters,
    specialized_parameters,
)
from fedmrg_secure.model.parameters import count_parameters
from fedmrg_secure.model.pretrained import PretrainedDecoder, load_decoder, save_decoder
from fedmrg_secure.model.state import check_state, copy_out

FloatArray = npt.NDArray[np.float32]

PROTOTYPES = "anchors.prototype"
"""Name of the shared sums of features in the state, see `model.contrast`."""


@dataclass(frozen=True, slots=True)
class GeneratorOutput:
    """What a forward pass gives to the objectives.

    Attributes:
        diagnosis_logits: shape (batch, C, 4), float32, without any prior.
        global_feature: z_g, unit rows, shape (batch, d).
        local_feature: z_s, unit rows, shape (batch, d); None without a specialized part.
        generic_logits: of path A for every report token that counts, shape (N, vocabulary).
        specialized_logits: of path B, the same shape; None without a specialized adapter.
    """

    diagnosis_logits: Tensor
    global_feature: Tensor
    local_feature: Tensor | None
    generic_logits: Tensor
    specialized_logits: Tensor | None


class ReportGenerator(nn.Module):
    """Chest X-ray to report.

    Use `build_report_generator`; the constructor takes the parts.

    Attributes:
        anchors: g_c, frozen global anchors, unit or zero rows, shape (C, d).
        local_anchors: l_kc, the site's own, frozen, the same shape.
        log_prior: log of each class's assumed POSITIVE rate relative to an even one, shape (C,).
        mix: weight of path B in the logits of a participating centre's reports, shape (1,).
    """

    anchors: Tensor
    local_anchors: Tensor
    log_prior: Tensor
    mix: Tensor
    prototypes: Tensor

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
        prompts = classes if model.prompts else 0
        check_context(base, model.visual_tokens + prompts + 1 + model.max_report_tokens)
        width = base.embeddings.shape[1]
        decoder_count = sum(p.numel() for p in base.model.parameters())
        self.encoder = build_encoder(model, image_size=image_size, seed=seed)
        features = self.encoder.width
        words = prompt_start(base, model.classes)
        self._text_anchors = text_anchors(words) if model.anchors == "text" else None
        anchor_width = features if self._text_anchors is None else width
        self.projection = _projection(features, anchor_width, "projection", seed)
        self.attention = AnchorAttention() if model.anchor_attention else None
        seen = features + (anchor_width if model.anchor_attention else 0)
        self.diagnosis = DiagnosisHead(seen, classes)
        self.prompts = StatusPrompts(words) if model.prompts else None
        self.projector = VisualPrefix(
            features, width, model.visual_tokens, scale=embedding_scale(base)
        )
        for part in ("diagnosis", "projector"):
            initialise(getattr(self, part), label=part, seed=seed)
        for name in {"projection", "projector", "prompts"}.intersection(model.freeze):
            if (part := getattr(self, name)) is not None:
                part.requires_grad_(False)
        self.has_specialized = model.adapters == "dual"
        self.adapters = Adapters(
            base.model,
            rank=update.rank,
            alpha=update.alpha,
            seed=seed,
            factorization=update.factorization,
            dual=self.has_specialized,
        )
        self.decoder = self.adapters.model
        self.specialized_projection = (
            _projection(features, features, "specialized", seed) if self.has_specialized else None
        )
        self.register_buffer("anchors", torch.zeros(classes, anchor_width), persistent=False)
        self.register_buffer("local_anchors", torch.zeros(classes, features), persistent=False)
        self.register_buffer("log_prior", torch.zeros(classes), persistent=False)
        self.register_buffer("mix", torch.ones(1), persistent=False)
        self.register_buffer("prototypes", torch.zeros(classes, anchor_width), persistent=False)
        self.tokens = ReportTokenizer(base.tokenizer, model.max_report_tokens)
        self.limits = SearchLimits(
            self.tokens.begin_id,
            self.tokens.end_id,
            model.min_report_tokens,
            model.max_report_tokens,
        )
        self.class_columns = class_columns(model.classes)
        self.anchor_kind = model.anchors
        self._beams = model.beams
        self._base = base
        self._shared = shared_parameters(self, update.factorization)
        self._specialized = specialized_parameters(self)
        self._trainable = {
            name: p for name, p in self._shared.items() if is_trained(name, update.factorization)
        }
        self.set_trainable(None)
        for parameter in self._specialized.values():
            parameter.requires_grad_(True)
        self._specialized_start = self.specialized_state()
        self._refresh()
        self.parameter_counts = count_parameters(self, decoder_count, update)
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
        *,
        share_features: bool = True,
    ) -> GeneratorOutput:
        """Logits for training.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].
            reports: from `self.tokens.encode`.
            statuses: true statuses, shape (batch, C), int64.
            predicted: where True the prompt takes the head's own likeliest status instead of the
                true one, shape (batch, C), bool; nowhere when None.
            share_features: whether path B's loss may reach the encoder, projector and prompts;
                False keeps all that is shared independent of the specialized adapter (`one_way`).
        """
        features = self.encoder(images)
        z_g = functional.normalize(self.projection(features.pooled), dim=-1)  # (batch, d)
        diagnosis_logits = self._diagnosis_logits(features, z_g)  # (batch, C, 4)
        if predicted is not None:
            statuses = torch.where(predicted, diagnosis_logits.detach().argmax(-1), statuses)
        prefix = self._prefix(features, statuses)
        with self.adapters.reading(ReadingPath.A) as decoder:
            generic = report_logits(decoder, prefix, reports)
        z_s = specialized = None
        if self.specialized_projection is not None:
            pooled = features.pooled if share_features else features.pooled.detach()
            z_s = functional.normalize(self.specialized_projection(pooled), dim=-1)
            with self.adapters.reading(ReadingPath.B) as decoder:
                seen = prefix if share_features else prefix.detach()
                specialized = report_logits(decoder, seen, reports)
        return GeneratorOutput(diagnosis_logits, z_g, z_s, generic, specialized)

    @torch.no_grad()
    def diagnose(self, images: Tensor) -> Diagnosis:
        """Status probabilities of images of shape (batch, 1, H, H)."""
        return Diagnosis(torch.softmax(self._look(images)[1], dim=-1))

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """z_g and z_s of images of shape (batch, 1, H, H), unit rows, shape (batch, d) each."""
        pooled = self.encoder(images).pooled
        z_g = functional.normalize(self.projection(pooled), dim=-1)
        if self.specialized_projection is None:
            return z_g, None
        return z_g, functional.normalize(self.specialized_projection(pooled), dim=-1)

    @torch.no_grad()
    def generate(self, images: Tensor, *, beams: int | None = None, mix: float = 0.0) -> list[str]:
        """Write a report for each image.

        Args:
            images: shape (batch, 1, H, H), float32 in [0, 1].
            beams: width of the beam search, 1 is greedy; as configured when None.
            mix: weight of path B in the mixed logits, in [0, 1]; 0 is the generic adapter alone.
        """
        if not 0 <= mix <= 1 or (mix and not self.has_specialized):
            raise ValueError(f"mix must be in [0, 1], and 0 without a specialized part, got {mix}")
        features, logits = self._look(images)
        prefix = self._prefix(features, logits.argmax(-1))
        voices = [
            Voice(lambda path=path: self.adapters.reading(path), weight)  # type: ignore[misc]
            for path, weight in ((ReadingPath.A, 1 - mix), (ReadingPath.B, mix))
            if weight
        ]
        width = self._beams if beams is None else beams
        if width == 1:
            found = greedy_search(voices, prefix, self.limits)
        else:
            found = beam_search(voices, prefix, self.limits, width)
        return self.tokens.decode([hypothesis.tokens for hypothesis in found])

    @torch.no_grad()
    def path_logits(self, images: Tensor, reports: ReportTokens) -> tuple[Tensor, Tensor | None]:
        """Logits of given reports by path A and path B, shape (N, vocabulary) each.

        The prompts are what the head diagnoses, as when a report is written.
        """
        features, logits = self._look(images)
        prefix = self._prefix(features, logits.argmax(-1))
        with self.adapters.reading(ReadingPath.A) as decoder:
            generic = report_logits(decoder, prefix, reports)
        if not self.has_specialized:
            return generic, None
        with self.adapters.reading(ReadingPath.B) as decoder:
            return generic, report_logits(decoder, prefix, reports)

    def shared_state(self) -> dict[str, FloatArray]:
        """A copy of every tensor that is public, float32, sorted by name."""
        state = copy_out(self._shared)
        if self.anchor_kind == "prototype":
            state |= copy_out({PROTOTYPES: self.prototypes})
        return dict(sorted(state.items()))

    def shared_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters behind `shared_state` that may be trained, by the same names."""
        return dict(self._trainable)

    def specialized_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained and never leave the site, by name."""
        return dict(self._specialized)

    def set_trainable(self, names: frozenset[str] | None) -> None:
        """Let only these of the shared parameters require gradients; None: all that may."""
        for name, parameter in self._shared.items():
            allowed = name in self._trainable and (names is None or name in names)
            parameter.requires_grad_(allowed)

    @torch.no_grad()
    def load_shared_state(self, state: Mapping[str, FloatArray]) -> None:
        """Take over what `shared_state` gave; nothing is changed when it does not fit.

        The received copy of the generic adapter, the global anchors and the prior follow.

        Raises:
            StateMismatch: a name is missing or unknown, a shape differs, a value is not finite.
        """
        targets: dict[str, Tensor] = dict(self._shared)
        if self.anchor_kind == "prototype":
            targets[PROTOTYPES] = self.prototypes
        check_state(state, targets)
        for name, target in targets.items():
            target.copy_(torch.from_numpy(np.ascontiguousarray(state[name])))
        self._refresh()

    def specialized_state(self) -> dict[str, FloatArray]:
        """A copy of every tensor that belongs to the site alone; empty without such a part."""
        if not self.has_specialized:
            return {}
        own = {"specialized.anchors": self.local_anchors, "specialized.mix": self.mix}
        return copy_out({**self._specialized, **own})

    @torch.no_grad()
    def load_specialized_state(self, state: Mapping[str, FloatArray] | None) -> None:
        """Take over what `specialized_state` gave; None: as at the start, where B equals A.

        Raises:
            StateMismatch: see `load_shared_state`.
        """
        if not self.has_specialized:
            check_state(state or {}, {})
            return
        targets: dict[str, Tensor] = {
            **self._specialized,
            "specialized.anchors": self.local_anchors,
            "specialized.mix": self.mix,
        }
        values = self._specialized_start if state is None else state
        check_state(values, targets)
        for name, target in targets.items():
            target.copy_(torch.from_numpy(np.ascontiguousarray(values[name])))

    def reading(self, path: ReadingPath) -> AbstractContextManager[PeftModel]:
        """The decoder as one path reads it, see `Adapters.reading`."""
        return self.adapters.reading(path)

    def save_adapter(self, folder: Path, path: ReadingPath = ReadingPath.A) -> None:
        """Write a path's adapters as one folder that `PeftModel.from_pretrained` loads."""
        self.adapters.save(folder, path, base_name=self._base.name)

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

    def _look(self, images: Tensor) -> tuple[ImageFeatures, Tensor]:
        features = self.encoder(images)
        z_g = functional.normalize(self.projection(features.pooled), dim=-1)
        return features, self._diagnosis_logits(features, z_g)

    def _diagnosis_logits(self, features: ImageFeatures, z_g: Tensor) -> Tensor:
        if self.attention is None:
            return self.diagnosis(features.pooled)
        seen = self.attention(z_g, self.anchors)  # (batch, d)
        return self.diagnosis(torch.cat([features.pooled, seen], dim=-1))

    def _prefix(self, features: ImageFeatures, statuses: Tensor) -> Tensor:
        """Visual prefix and status prompts, shape (batch, V + C, d_llm)."""
        visual = self.projector(features.patches)
        if self.prompts is None:
            return visual
        return torch.cat([visual, self.prompts(statuses)], dim=1)

    def _refresh(self) -> None:
        """Let all that follows from the shared state follow."""
        self.adapters.receive()
        if self._text_anchors is not None:
            self.anchors.copy_(self._text_anchors)
        elif self.anchor_kind == "prototype":
            self.anchors.copy_(self.prototypes)
        else:
            self.anchors.copy_(head_anchors(self.diagnosis, self.encoder.width))
        self.log_prior.copy_(self.diagnosis.log_prior())


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


def _projection(width: int, out: int, label: str, seed: int) -> nn.Linear:
    """A projection that starts as the identity where it can."""
    layer = nn.Linear(width, out, bias=False)
    if width == out:
        nn.init.eye_(layer.weight)
    else:
        initialise(nn.Sequential(layer), label=label, seed=seed)
    return layer


def images_tensor(images: Sequence[FloatArray]) -> Tensor:
    """Stack images of shape (H, H) to the model's input, shape (batch, 1, H, H)."""
    return torch.from_numpy(np.stack(images))[:, None]
