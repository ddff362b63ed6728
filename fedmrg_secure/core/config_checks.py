"""What must hold between values of one configuration, each finding bound to the key to change.

`core.config` checks single sections; here stands what needs two of them. `core.yaml_source` gives
every finding its line and column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from fedmrg_secure.core.config import IuXrayData, ManifestData, PhantomData, RunConfig
from fedmrg_secure.core.config_errors import did_you_mean
from fedmrg_secure.core.privacy_terms import public_population
from fedmrg_secure.core.types import (
    CHEXPERT_CLASSES,
    COORDINATOR,
    PRETRAINED_ENCODER_PIXELS,
    PRETRAINED_ENCODER_WIDTH,
    InvalidName,
    party_name,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit.

    Args:
        path: the key to change, e.g. ``("federation", "sites", 1)``.
        message: what is wrong, following the dotted path in the sentence.
        hint: what to do.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


def check_config(config: RunConfig) -> list[Finding]:
    """Everything in a well-formed configuration that does not fit together, in the file's order."""
    return [
        *_data(config),
        *_model(config),
        *_privacy(config),
        *_acknowledgements(config),
        *_federation(config),
    ]


def _data(config: RunConfig) -> Iterator[Finding]:
    data = config.data
    if isinstance(data, PhantomData):
        return
    if isinstance(data, ManifestData):
        yield from _stays_inside("manifest", data.manifest)
        yield from _centres(("data",), data.participating, data.unseen)
        return
    for key in ("reports", "images"):
        yield from _stays_inside(key, getattr(data, key))
    for key, words in (("sections", data.sections), ("views", getattr(data, "views", ()))):
        for index, word in enumerate(words):
            if word in words[:index]:
                yield Finding(("data", key, index), f"names {word!r} a second time")
    if data.centres is None:
        return
    if isinstance(data, IuXrayData) and data.layout == "open-i":
        yield Finding(
            ("data", "centres"),
            "is given, but Open-i's layout names no institutions",
            "leave it out: the centres are then data.pseudo_centres",
        )
    centres = data.centres
    yield from _centres(("data", "centres"), centres.participating, centres.unseen)


def _stays_inside(key: str, path: str | None) -> Iterator[Finding]:
    parts = PurePosixPath(path or "")
    if parts.is_absolute() or PureWindowsPath(path or "").drive or ".." in parts.parts:
        yield Finding(
            ("data", key), "must stay inside data.root", "give a path relative to data.root"
        )


def _centres(
    path: tuple[str, ...], participating: Sequence[str], unseen: Sequence[str] | str
) -> Iterator[Finding]:
    """Both lists name parties, and no party twice."""
    yield from _names((*path, "participating"), participating)
    if isinstance(unseen, str):
        return
    yield from _names((*path, "unseen"), unseen)
    training = {_name_or_title(title) for title in participating}
    for index, title in enumerate(unseen):
        if _name_or_title(title) in training:
            yield Finding(
                (*path, "unseen", index),
                f"names {title!r}, which is a participating centre",
                "a centre that trains cannot show how the model does on unseen ones",
            )


def _pretrained_encoder(config: RunConfig) -> Iterator[Finding]:
    pixels, width = PRETRAINED_ENCODER_PIXELS, PRETRAINED_ENCODER_WIDTH
    if config.data.image_size != pixels:
        yield Finding(
            ("data", "image_size"),
            f"must be {pixels}, which the built-in pretrained encoder was trained on",
            "leave data.image_size out, or choose another model.encoder",
        )
    if config.model.feature_width != width:
        yield Finding(
            ("model", "feature_width"),
            f"must be {width}, the width of the built-in pretrained encoder",
            "leave model.feature_width out, or choose another model.encoder",
        )
    if config.model.image_mean is not None:
        yield Finding(
            ("model", "image_mean"),
            "is given, but the built-in pretrained encoder was trained on images that were each "
            "normalised by its own",
            "leave model.image_mean and model.image_deviation out",
        )


def _model(config: RunConfig) -> Iterator[Finding]:
    model = config.model
    if model.min_report_tokens >= model.max_report_tokens:
        yield Finding(
            ("model", "min_report_tokens"),
            f"must be below model.max_report_tokens, which is {model.max_report_tokens}",
        )
    if "encoder" in model.freeze and model.encoder == "builtin":
        yield Finding(
            ("model", "freeze"),
            "names encoder, but the built-in encoder has not been pretrained",
            "choose a pretrained model.encoder, such as builtin_pretrained, or do not freeze it",
        )
    if model.encoder == "builtin_pretrained":
        yield from _pretrained_encoder(config)
    if (model.image_mean is None) != (model.image_deviation is None):
        given, absent = "image_mean", "image_deviation"
        if model.image_mean is None:
            given, absent = absent, given
        yield Finding(("model", given), f"is given without model.{absent}", "give both or neither")
    for index, name in enumerate(model.classes):
        if name not in CHEXPERT_CLASSES:
            yield Finding(
                ("model", "classes", index),
                f"names {name!r}, which is not an observation class of CheXpert",
                did_you_mean(name, CHEXPERT_CLASSES)
                or f"choose from: {', '.join(CHEXPERT_CLASSES)}",
            )
        elif name in model.classes[:index]:
            yield Finding(("model", "classes", index), f"names {name!r} a second time")


def _privacy(config: RunConfig) -> Iterator[Finding]:
    """What would break the guarantee or make it hollow."""
    privacy = config.privacy
    if privacy is None:
        return
    given = [key for key in ("target_epsilon", "noise_multiplier") if getattr(privacy, key)]
    if len(given) != 1:
        yield Finding(
            ("privacy", *given[1:]),
            "needs exactly one of target_epsilon and noise_multiplier",
            "target_epsilon: 8 fixes the noise by what may be lost in the whole run",
        )
    if privacy.unit == "patient" and privacy.max_records > config.training.batch_size:
        yield Finding(
            ("privacy", "max_records"),
            f"must be at most training.batch_size, which is {config.training.batch_size}",
            "all of a patient's records go through one forward pass",
        )
    yield from _population(config)
    yield from _not_private(config)


def _population(config: RunConfig) -> Iterator[Finding]:
    privacy = config.privacy
    assert privacy is not None
    path = ("privacy", "population")
    given = privacy.population
    if isinstance(given, dict):
        yield from (
            Finding((*path, title), f"names {title!r}, which is no centre's party name")
            for title in given
            if _name_or_title(title) != title
        )
    sites = [_name_or_title(title) for title in config.federation.sites or _trains(config)]
    counts = {site: public_population(config, site) for site in sites or [""]}
    absent = [site for site, count in counts.items() if count is None]
    if absent and privacy.population is None:
        yield Finding(
            path,
            "is missing",
            "say about how many patients a site trains on: a public number, never counted",
        )
        return
    if absent and sites:
        yield Finding(path, f"does not name {', '.join(absent)}", "give a number for every site")
    least = min((count for count in counts.values() if count is not None), default=None)
    if least is None:
        return
    if least < 1:
        yield Finding(path, f"must be at least 1, got {least}")
    elif least < privacy.expected_batch:
        yield Finding(
            ("privacy", "expected_batch"),
            f"must be at most privacy.population, which is {least}",
        )
    if least > 0 and privacy.delta >= 1 / least:
        yield Finding(
            ("privacy", "delta"),
            f"must be below 1/n = {1 / least:.1e} for {least:,} units, got {privacy.delta:g}",
            f"take {0.1 / least:.0e} or less, a tenth of 1/n: with delta = 1/n, giving away one "
            "whole record at random would pass as private",
        )


def _trains(config: RunConfig) -> Sequence[str]:
    """The centres that train where the data section lists them."""
    data = config.data
    if isinstance(data, PhantomData):
        return ()
    listed = data if isinstance(data, ManifestData) else data.centres
    return () if listed is None else listed.participating


def _not_private(config: RunConfig) -> Iterator[Finding]:
    """Parts of the method that would let something leave without noise."""
    if config.model.adapters == "dual" and config.training.boosting in ("mutual", "none"):
        yield Finding(
            ("training", "boosting"),
            f"is {config.training.boosting}: with privacy, what is shared would learn from the "
            "specialized part, which is trained without noise",
            "choose one_way, joint (both parts noised), or model.adapters: generic",
        )
    if config.model.dtype == "bfloat16":
        yield Finding(
            ("model", "dtype"),
            "is bfloat16: with privacy, rounding lets a record's gradient depend on the batch",
            "choose float32",
        )
    if config.update.weighting == "records":
        yield Finding(
            ("update", "weighting"),
            "is records: with privacy, the number of a site's records is private",
            "choose uniform",
        )


def _acknowledgements(config: RunConfig) -> Iterator[Finding]:
    secure = config.secure_aggregation
    if secure.scheme == "ckks-shared" and not secure.acknowledge_collusion_risk:
        yield Finding(
            ("secure_aggregation", "scheme"),
            "is ckks-shared: the coordinator together with any one site can open every update",
            "to accept that, set secure_aggregation.acknowledge_collusion_risk: true",
        )
    if secure.scheme == "insecure-plaintext" and not secure.acknowledge_plaintext:
        yield Finding(
            ("secure_aggregation", "scheme"),
            "is insecure-plaintext: the coordinator sees every update",
            "to accept that, set secure_aggregation.acknowledge_plaintext: true",
        )


def _federation(config: RunConfig) -> Iterator[Finding]:
    federation = config.federation
    # Whether the sites are centres of the data shows when a run is planned: a site of a real
    # federation lists all sites here and has the data of one.
    sites = federation.sites
    if sites is not None:
        yield from _names(("federation", "sites"), sites)
    if sites is not None and federation.min_sites > len(sites):
        yield Finding(
            ("federation", "min_sites"),
            f"must be at most the number of sites, {len(sites)}, got {federation.min_sites}",
            "for two sites set it to 2, and secure_aggregation.colluders to 0",
        )
    if config.secure_aggregation.scheme != "insecure-plaintext" and federation.min_sites < 2:
        yield Finding(
            ("federation", "min_sites"),
            "must be at least 2 with encryption: a sum of one update is that update",
        )
    secure = config.secure_aggregation
    least = secure.colluders + 2
    if secure.scheme == "ckks-multiparty" and 2 <= federation.min_sites < least:
        hint = (
            f"of {least - 1} summed updates, {secure.colluders} colluding know the last one: set "
            f"federation.min_sites to {least} or more, or lower secure_aggregation.colluders"
        )
        if "min_sites" in federation.model_fields_set:
            wrong = f"must be at least {least} with colluders={secure.colluders}"
            yield Finding(("federation", "min_sites"), f"{wrong}, got {federation.min_sites}", hint)
        else:
            wrong = (
                f"must be at most {federation.min_sites - 2} with min_sites={federation.min_sites}"
            )
            yield Finding(
                ("secure_aggregation", "colluders"), f"{wrong}, got {secure.colluders}", hint
            )
    if federation.round_deadline_s <= federation.site_timeout_s:
        yield Finding(
            ("federation", "round_deadline_s"),
            f"must be above federation.site_timeout_s, which is {federation.site_timeout_s:g}",
        )


def _names(path: tuple[str | int, ...], titles: Sequence[str]) -> Iterator[Finding]:
    """Every title gives a party name of its own."""
    seen: dict[str, str] = {}
    for index, title in enumerate(titles):
        try:
            name = party_name(title)
        except InvalidName as error:
            yield Finding((*path, index), f"holds {title!r}, which gives no party name", error.hint)
            continue
        if name == COORDINATOR:
            yield Finding((*path, index), f"holds {title!r}, the coordinator's own name")
        elif name in seen:
            other = "a second time" if seen[name] == title else f"beside {seen[name]!r}"
            yield Finding(
                (*path, index), f"holds {title!r} {other}", f"both would be the party {name!r}"
            )
        seen.setdefault(name, title)


def _name_or_title(title: str) -> str:
    try:
        return party_name(title)
    except InvalidName:
        return title
