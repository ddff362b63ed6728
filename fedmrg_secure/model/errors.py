"""What can go wrong with a model."""

from __future__ import annotations

from typing import ClassVar

from fedmrg_secure.core.errors import FedmrgError, InputError


class DecoderUnavailable(InputError):
    """The named decoder cannot be loaded from where the configuration says."""

    code: ClassVar[str] = "FMRG-3001"


class HubAccessOff(InputError):
    """A hub id was given and downloading is not allowed."""

    code: ClassVar[str] = "FMRG-3002"


class AssetTampered(FedmrgError):
    """A weights or tokenizer file is not the one whose SHA-256 is pinned."""

    code: ClassVar[str] = "FMRG-3003"


class StateMismatch(FedmrgError):
    """A state has other names or shapes than the model, or values that are not finite."""

    code: ClassVar[str] = "FMRG-3004"


class RankTooLarge(InputError):
    """The rank of the adapters exceeds the width of a layer they adapt."""

    code: ClassVar[str] = "FMRG-3005"


class ImageShapeWrong(FedmrgError):
    """Images do not have the shape the model was built for."""

    code: ClassVar[str] = "FMRG-3006"


class UnknownClass(InputError):
    """A class is configured that records carry no label for."""

    code: ClassVar[str] = "FMRG-3008"


class ContextTooShort(InputError):
    """Prefix, prompts and report do not fit into the decoder's context."""

    code: ClassVar[str] = "FMRG-3007"


class EncoderUnavailable(InputError):
    """The named vision encoder cannot be loaded, or gives no grid of patches."""

    code: ClassVar[str] = "FMRG-3009"
