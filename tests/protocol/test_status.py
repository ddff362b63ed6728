import pytest

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.protocol import errors as e
from fedmrg_secure.protocol.status import CODE_KEY, STATUS, error_of, sanitised, status_of


class Private(FedmrgError):
    code = "FMRG-4999"


@pytest.mark.parametrize("cls", STATUS)
def test_a_registered_error_comes_back_as_itself(cls: type[FedmrgError]) -> None:
    shown = sanitised(cls("what happened"), ())
    _, details = status_of(shown)
    back = error_of(details, ((CODE_KEY, shown.code),))
    assert type(back) is cls
    assert str(back) == "what happened"


@pytest.mark.parametrize(
    "error", [Private("secret"), OSError("/srv/patients"), ValueError("secret"), KeyError("x")]
)
def test_anything_else_tells_nothing(error: Exception) -> None:
    shown = sanitised(error, ())
    assert type(shown) is e.CoordinatorFault
    assert "secret" not in str(shown)
    assert "patients" not in str(shown)


def test_forwarded_errors_keep_their_code() -> None:
    shown = sanitised(Private("a frame is short"), (Private,))
    status, details = status_of(shown)
    back = error_of(details, ((CODE_KEY, shown.code),))
    assert isinstance(back, e.RefusedForCause)
    assert back.remote_code == "FMRG-4999"
    assert status.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize("metadata", [None, (), (("other", "x"),), ((CODE_KEY, "FMRG-1"),)])
def test_a_status_without_a_code_is_no_refusal(metadata: object) -> None:
    assert error_of("details", metadata) is None


def test_a_peers_sentence_is_printable_and_short() -> None:
    back = error_of("\x1b[31m" + "x" * 2000, ((CODE_KEY, "FMRG-5001"),))
    assert back is not None
    assert len(str(back)) == 500
    assert "\x1b" not in str(back)


def test_codes_are_unique() -> None:
    codes = [cls.code for cls in vars(e).values() if isinstance(cls, type) and hasattr(cls, "code")]
    own = [code for code in codes if code.startswith("FMRG-5")]
    assert len(own) == len(set(own))
