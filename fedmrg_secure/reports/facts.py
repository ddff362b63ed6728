"""Settings and security facts of a run as label-value pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedmrg_secure.core.config import (
    IuXrayData,
    ManifestData,
    PhantomData,
    RunConfig,
    TrainingConfig,
)
from fedmrg_secure.reports.run import Run, title_of
from fedmrg_secure.reports.wording import count_text, plural

_SCHEME_TITLES: Final = {
    "ckks-multiparty": "multiparty CKKS, a key of each site's own for each round (ckks-multiparty)",
    "ckks-shared": "CKKS, one secret key shared by the sites (ckks-shared)",
    "insecure-plaintext": "none (insecure-plaintext)",
}

_ANCHORS: Final = {
    "head": "the aggregated diagnosis head",
    "text": "the decoder's own words for the classes",
    "prototype": "the sites' encrypted and added features",
}

_FACTORIZATIONS: Final = {
    "ffa": "FFA-LoRA: A is frozen, B is sent",
    "fedsvd": "FedSVD: B is sent, and A follows from a refactoring that every site computes",
    "rolora": "RoLoRA: A and B are sent in turns",
    "fedsb": "Fed-SB: a square core between frozen factors is sent",
    "powersgd": "PowerSGD: B is sent, and dense matrices as two low-rank passes",
}

_BOOSTING: Final = {
    "mutual": "they teach each other",
    "one_way": "the generic one teaches the specialized one",
    "joint": "they teach each other under one clip budget",
    "none": "neither teaches the other",
}

_CKKS_TITLES: Final = {
    "threshold": "Sites that open a sum together",
    "colluders": "Colluding sites that it withstands, beside a cheating coordinator",
    "ring_degree": "Ring degree N",
    "modulus": "Modulus of residues on the wire",
    "digits": "Values that share a coordinate",
    "scale": "Residue units a grid step",
    "residue_bits": "Bits of a residue on the wire",
    "parameters_digest": "Digest of these parameters",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a list; `mono` for hashes and numbers that a machine reads."""

    label: str
    value: str
    mono: bool = False


def settings(config: RunConfig) -> tuple[Fact, ...]:
    """What was trained, on what, and how."""
    training, update, model = config.training, config.update, config.model
    return (
        Fact("Data", _data(config)),
        Fact("Split by patient", _splits(config)),
        Fact("Input", f"{config.data.image_size} × {config.data.image_size} pixels, one channel"),
        Fact("Encoder, decoder", f"{model.encoder}, {model.decoder}"),
        Fact(
            "Local training",
            f"{plural(training.local_steps, 'step')} of {_drawn(config)} "
            f"in each of {plural(training.rounds, 'round')}",
        ),
        Fact("Clip bound", f"L2 norm {update.clip_norm:g} of one site's update"),
        Fact("Weights", "equal" if update.weighting == "uniform" else "by number of records"),
        Fact("Fewest sites in a round", str(config.federation.min_sites)),
        Fact("Seed", str(config.seed)),
    )


def method(config: RunConfig) -> tuple[Fact, ...]:
    """Which parts of the method were in use."""
    model, training, update = config.model, config.training, config.update
    contrast = f"features against anchors from {_ANCHORS[model.anchors]}"
    facts = [
        Fact(
            "Client-aware contrast",
            f"{contrast}, weight {training.contrast_weight:g}"
            if training.contrast_weight
            else "off",
        ),
        Fact("Anchor attention", "on" if model.anchor_attention else "off"),
        Fact("Diagnosis-driven prompts", "on" if model.prompts else "off"),
        Fact("Adapters of the decoder", _adapters(config)),
        Fact("Drift of a site", _drift(training)),
        Fact("Factorisation", f"{_FACTORIZATIONS[update.factorization]}; rank {update.rank}"),
        Fact("Sent in full", _sent_in_full(config)),
    ]
    if model.freeze:
        facts.append(Fact("Kept as it began", ", ".join(model.freeze)))
    if training.proximal_weight:
        facts.append(Fact("FedProx", f"mu {training.proximal_weight:g}"))
    if training.moon_weight:
        facts.append(Fact("MOON", f"mu {training.moon_weight:g}"))
    return tuple(facts)


def security(run: Run) -> tuple[Fact, ...]:
    """How updates were protected, as configured and as the run recorded it."""
    config = run.config
    update, scheme = config.update, config.secure_aggregation.scheme
    grid = update.clip_norm / 2**update.precision_bits
    facts = [Fact("Encryption of updates", _SCHEME_TITLES[scheme])]
    if scheme != "insecure-plaintext":
        facts.append(
            Fact(
                "Security level",
                "128 bits by the Homomorphic Encryption Security Standard (2018); parameters "
                "outside its table are refused",
            )
        )
        facts += [
            Fact(title, run.summary.scheme[key], mono=True)
            for key, title in _CKKS_TITLES.items()
            if key in run.summary.scheme
        ]
    facts.append(
        Fact(
            "Precision",
            f"every value is rounded to a multiple of {grid:.3g}, the clip bound / "
            f"2^{update.precision_bits}",
        )
    )
    facts.append(Fact("Exactness", _exactness(scheme)))
    if scheme == "ckks-multiparty":
        facts += [
            Fact(
                "Keys",
                "each site makes its own for each round; its shares are sealed to the sites "
                "(HPKE), and only the sum of the included keys is ever put together",
            ),
            Fact(
                "Review",
                "this scheme's code has not been reviewed independently; docs/crypto-spec.md has "
                "equations, bounds and sources",
            ),
        ]
    if scheme == "ckks-shared":
        rotation = config.secure_aggregation.rotate_after
        facts.append(
            Fact(
                "Key",
                "made by an elected site, sealed to each site (HPKE), replaced after at most "
                f"{plural(rotation, 'round')}; never at the coordinator",
            )
        )
    facts += [
        Fact("Transport", "mutual TLS; every message signed (Ed25519)"),
        Fact("Identities", "throw-away, made for this run on one machine"),
    ]
    return (*facts, *differential_privacy(run))


def differential_privacy(run: Run) -> tuple[Fact, ...]:
    """What bounds how much the trained model reveals, and what each site's ledger says of it."""
    privacy = run.config.privacy
    if privacy is None:
        return (
            Fact(
                "Differential privacy",
                "none: the trained model itself may reveal something of single records",
            ),
        )
    loss = "; a patient with k records loses more than k times as much"
    facts = [
        Fact(
            "Differential privacy",
            f"of each {privacy.unit}, under adding or removing one, at delta {privacy.delta:g}"
            + (loss if privacy.unit == "record" else ""),
        ),
        Fact(
            "Mechanism",
            f"every step: Poisson sampling of {privacy.unit}s, about {privacy.expected_batch:g} a "
            f"step; clip bound {privacy.clip_norm:g}; each site adds its full discrete Gaussian "
            "noise",
        ),
        *(
            Fact(
                f"Epsilon at {title_of(each.site)}",
                f"{each.epsilon:.3f} in this run ({plural(each.rounds, 'round')} charged; noise "
                f"{each.noise_multiplier:.3g} times the clip bound, each of "
                f"{count_text(each.population)} sampled with chance {each.sampling_rate:.3g}); "
                f"{each.spent:.3f} of {each.budget:g} spent in all",
            )
            for each in run.summary.privacy
        ),
        *(
            Fact(f"Epsilon at {title_of(each.site)}", f"ledger unreadable: {each.code}")
            for each in run.summary.unreadable
        ),
        *(
            Fact(
                f"Ledger of {title_of(each.site)}",
                f"does not continue what it showed before round {each.round} ({each.reason}), as "
                f"{', '.join(map(title_of, each.noticed_by))} noticed: restored from a backup or "
                "begun anew; its epsilon here may leave out what was spent",
            )
            for each in run.summary.discontinued
        ),
    ]
    if not run.summary.privacy and not run.summary.unreadable:
        facts.append(
            Fact("Epsilon by site", "not known here; `fedmrg budget` reads a site's own ledger")
        )
    return tuple(facts)


def pinned(run: Run) -> tuple[Fact, ...]:
    """Hashes that every party agreed on before the first round."""
    wanted = ("hash", "digest", "session")
    return tuple(
        Fact(key.replace("_", " "), value, mono=True)
        for key, value in run.session.items()
        if any(word in key for word in wanted) and value
    )


def _drift(training: TrainingConfig) -> str:
    writes, sees = training.drift_correction, training.encoder_drift_correction
    if not writes and not sees:
        return "not corrected"
    return f"taken back: {writes:.0%} in what writes, {sees:.0%} in all else"


def _drawn(config: RunConfig) -> str:
    """What one step sees."""
    privacy = config.privacy
    if privacy is None:
        return plural(config.training.batch_size, "record")
    return f"{privacy.expected_batch:g} {privacy.unit}s on average, drawn by coin,"


def _adapters(config: RunConfig) -> str:
    if config.model.adapters == "generic":
        return "one, generic: shared by all sites"
    return (
        "generic, shared, and specialized, which never leaves its site; "
        f"{_BOOSTING[config.training.boosting]} ({config.training.boosting})"
    )


def _sent_in_full(config: RunConfig) -> str:
    model = config.model
    parts = ["encoder", "projection", "projector", "diagnosis head"]
    parts += ["prompts"] if model.prompts else []
    parts = [part for part in parts if part not in model.freeze]
    low_rank = "; large matrices among them low-rank"
    text = ", ".join(parts)
    return text + (low_rank if config.update.factorization == "powersgd" else "")


def _data(config: RunConfig) -> str:
    data = config.data
    if isinstance(data, PhantomData):
        return (
            "phantom, the built-in synthetic benchmark: no patient in it "
            f"(seed {data.seed}, {count_text(data.patients_per_centre)} patients a centre)"
        )
    if isinstance(data, ManifestData):
        return f"image-report pairs of {data.manifest}, by column “{data.columns.centre}”"
    name = "IU X-Ray" if isinstance(data, IuXrayData) else "MIMIC-CXR"
    if data.centres is not None:
        return f"{name}, by column “{data.centres.column}”"
    pseudo = data.pseudo_centres
    return (
        f"{name}, parted by patient into {pseudo.participating + pseudo.unseen} pseudo-centres "
        f"(Dirichlet over what reports state, alpha {pseudo.alpha:g}, seed {data.seed})"
    )


def _splits(config: RunConfig) -> str:
    data, splits = config.data, config.data.splits
    given = isinstance(data, ManifestData) and data.columns.split is not None
    if given or getattr(data, "split_by", "patient") == "layout":
        return "as the source gives it, else as configured; unseen centres: all test"
    shares = (splits.train, splits.validation, splits.test)
    train, validation, test = (f"{share:.0%}" for share in shares)
    return f"{train} training, {validation} validation, {test} test; unseen centres: all test"


def _exactness(scheme: str) -> str:
    if scheme == "ckks-multiparty":
        return (
            "all sites open the same sum; fewer bits on the wire cost precision, within the "
            "stated bound"
        )
    if scheme == "insecure-plaintext":
        return "sums are added as integers; this is the oracle that encrypted runs are held against"
    return (
        "sites encrypt integers, and the opened sum is rounded to the exact integer sum: the model "
        "equals that of an unencrypted run with the same seeds"
    )
