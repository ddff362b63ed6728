"""The losses, each a number for each record i; `docs/method.md` has the same symbols.

    L_i = CE_i(A) + CE_i(B) + lg(t)*T^2*KL_i(sg pB || pA) + ls(t)*T^2*KL_i(sg pA || pB)
          + lc*Ldiagnosis_i + lcon*Lcon_i
    Lcon_i = Lg_i + gamma*Ls_i + eta*(z_g . z_s)^2

A batch's loss is the sum over its records and no record's loss depends on another record, so the
gradient of a batch is the sum of its records' gradients: what per-record clipping needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fedmrg_secure.core.config import TrainingConfig
from fedmrg_secure.core.types import Status
from fedmrg_secure.model.decoder import ReportTokens
from fedmrg_secure.model.report_generator import GeneratorOutput

_MASKED = -1e4
"""Far below any similarity over tau, and finite: an infinite one would make gradients NaN."""


@dataclass(frozen=True, slots=True)
class ObjectiveWeights:
    """The constants of L_i in one round.

    Attributes:
        lg, ls: of what path B teaches path A, and path A path B, warm-up included.
        temperature: T of both.
        lc: of the diagnosis.
        lcon: of the contrast.
        tau: its temperature.
        gamma: of the site's own anchors.
        eta: of the projections' overlap.
        share_features: whether what is shared may learn from the specialized part; not in
            `one_way`, where no gradient of a shared value depends on a specialized one.
    """

    lg: float
    ls: float
    temperature: float
    lc: float
    lcon: float
    tau: float
    gamma: float
    eta: float
    share_features: bool

    @classmethod
    def of(cls, training: TrainingConfig, round_number: int) -> ObjectiveWeights:
        """l(t) = lmax * min(1, t / warmup) with t in rounds; `one_way` has lg = 0, `none` both."""
        share = min(1.0, round_number / training.boost_warmup)
        teaches = training.boosting != "none"
        return cls(
            lg=training.boost_generic * share * (teaches and training.boosting != "one_way"),
            ls=training.boost_specialized * share * teaches,
            temperature=training.boost_temperature,
            lc=training.diagnosis_weight,
            lcon=training.contrast_weight,
            tau=training.contrast_temperature,
            gamma=training.local_contrast_weight,
            eta=training.orthogonality_weight,
            share_features=training.boosting != "one_way",
        )


@dataclass(frozen=True, slots=True)
class RecordLosses:
    """Losses of a batch, each of shape (batch,), float32; zero where a part is off.

    Attributes:
        language: CE(A), nats a token.
        specialized: CE(B), nats a token.
        boosting: lg*T^2*KL(sg pB || pA) + ls*T^2*KL(sg pA || pB), nats a token.
        diagnosis: of the statuses, nats a class.
        contrast: Lcon.
        total: L.
    """

    language: Tensor
    specialized: Tensor
    boosting: Tensor
    diagnosis: Tensor
    contrast: Tensor
    total: Tensor


def record_losses(
    output: GeneratorOutput,
    reports: ReportTokens,
    statuses: Tensor,
    weights: ObjectiveWeights,
    *,
    anchors: Tensor,
    local_anchors: Tensor,
    log_prior: Tensor | None,
) -> RecordLosses:
    """L_i and its parts for every record of a batch.

    Args:
        output: of the model's forward pass.
        reports: what should be written.
        statuses: true statuses, shape (batch, C), int64.
        weights: constants of the round.
        anchors: g_c, frozen, shape (C, d).
        local_anchors: l_kc, frozen, shape (C, d).
        log_prior: added to the POSITIVE logits, shape (C,); None: nothing is added.
    """
    none = output.diagnosis_logits.new_zeros(len(statuses))
    log_p_a = torch.log_softmax(output.generic_logits, dim=-1)  # (N, vocabulary)
    language = cross_entropy(log_p_a, reports)
    specialized = boosting = none
    if output.specialized_logits is not None:
        log_p_b = torch.log_softmax(output.specialized_logits, dim=-1)
        specialized = cross_entropy(log_p_b, reports)
        if weights.lg or weights.ls:
            if weights.temperature != 1:
                log_p_a = torch.log_softmax(output.generic_logits / weights.temperature, dim=-1)
                log_p_b = torch.log_softmax(output.specialized_logits / weights.temperature, dim=-1)
            squared = weights.temperature**2
            if weights.lg:
                teaches_a = divergence(log_p_b.detach(), log_p_a, reports)
                boosting = boosting + weights.lg * squared * teaches_a
            if weights.ls:
                teaches_b = divergence(log_p_a.detach(), log_p_b, reports)
                boosting = boosting + weights.ls * squared * teaches_b
    diagnosis = diagnosis_loss(output.diagnosis_logits, statuses, log_prior)
    contrast = none
    if weights.lcon:
        contrast = contrast_loss(output.global_feature, anchors, statuses, weights.tau)
        if output.local_feature is not None:
            own = contrast_loss(output.local_feature, local_anchors, statuses, weights.tau)
            contrast = contrast + weights.gamma * own
            if output.local_feature.shape == output.global_feature.shape:
                z_g, z_s = output.global_feature, output.local_feature
                if not weights.share_features:
                    z_g = z_g.detach()
                contrast = contrast + weights.eta * (z_g * z_s).sum(dim=-1) ** 2
    total = language + specialized + boosting + weights.lc * diagnosis + weights.lcon * contrast
    return RecordLosses(language, specialized, boosting, diagnosis, contrast, total)


def cross_entropy(log_p: Tensor, reports: ReportTokens) -> Tensor:
    """CE_i: of each report, mean over its tokens.

    Args:
        log_p: log-probabilities of every token that counts, shape (N, vocabulary).
        reports: what should be written.

    Returns:
        Shape (batch,), nats a token.
    """
    return reports.record_mean(functional.nll_loss(log_p, reports.packed_targets, reduction="none"))


def divergence(log_teacher: Tensor, log_student: Tensor, reports: ReportTokens) -> Tensor:
    """KL_i(teacher || student): of each report, mean over its tokens (Zhang et al. 2018).

    Args:
        log_teacher: log-probabilities that no gradient flows into, shape (N, vocabulary).
        log_student: log-probabilities, the same shape.
        reports: which token belongs to which record.

    Returns:
        Shape (batch,), nats a token.
    """
    tokens = (log_teacher.exp() * (log_teacher - log_student)).sum(dim=-1)  # (N,)
    return reports.record_mean(tokens)


def diagnosis_loss(logits: Tensor, statuses: Tensor, log_prior: Tensor | None = None) -> Tensor:
    """Ldiagnosis_i: cross-entropy of each record's statuses, mean over the classes.

    With a prior the model learns what the image adds to it: classes that are often POSITIVE must
    be seen, not guessed (logit adjustment, Menon et al. 2021; self-adaptive as in PromptMRG).

    Args:
        logits: shape (batch, C, 4).
        statuses: shape (batch, C), int64.
        log_prior: added to the POSITIVE logits, public, shape (C,).

    Returns:
        Shape (batch,), nats a class.
    """
    if log_prior is not None:
        shift = torch.zeros_like(logits[0])  # (C, 4)
        shift[:, Status.POSITIVE] = log_prior
        logits = logits + shift
    return functional.cross_entropy(logits.transpose(1, 2), statuses, reduction="none").mean(dim=1)


def contrast_loss(z: Tensor, anchors: Tensor, statuses: Tensor, tau: float) -> Tensor:
    """Lg_i or Ls_i: POSITIVE classes' anchors near, NEGATIVE and BLANK classes' far.

        -1/|Pos| * sum_{c in Pos} log(
            e^{z.g_c/tau} / (e^{z.g_c/tau} + sum_{c' in Neg} e^{z.g_c'/tau}) )

    UNCERTAIN classes count for neither; a record without a POSITIVE class has loss 0. Anchors are
    frozen and records stand alone, unlike in InfoNCE, where clipping one record's gradient would
    not bound its influence.

    Args:
        z: unit features, shape (batch, d).
        anchors: unit rows, shape (C, d).
        statuses: shape (batch, C), int64.
        tau: temperature, > 0.

    Returns:
        Shape (batch,).
    """
    similarity = z @ anchors.T / tau  # (batch, C)
    positive = (statuses == Status.POSITIVE).float()
    negative = (statuses == Status.NEGATIVE) | (statuses == Status.BLANK)
    away = similarity.masked_fill(~negative, _MASKED).logsumexp(dim=1, keepdim=True)  # (batch, 1)
    terms = functional.softplus(away - similarity)  # -log of the fraction
    return (terms * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)


def public_log_prior(rates: dict[str, float], classes: Sequence[str]) -> Tensor:
    """Log of public POSITIVE rates beside an even one of 1/4, shape (C,); 0 where none is given."""
    even = 1 / len(Status)
    return torch.tensor([rates.get(name, even) for name in classes]).div(even).log()
