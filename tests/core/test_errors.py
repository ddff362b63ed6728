from __future__ import annotations

from fedmrg_secure.core.errors import ErrorGroup, FedmrgError, InputError


class Wrong(InputError):
    code = "FMRG-0999"


def test_an_error_explains_itself() -> None:
    error = Wrong("it is wrong", hint="mend it", location="a.yaml:1:2")
    assert error.explain() == "a.yaml:1:2  FMRG-0999  it is wrong\n    mend it"
    assert str(error) == "it is wrong"
    assert Wrong("it is wrong").explain() == "FMRG-0999  it is wrong"


def test_exit_codes_tell_bad_input_from_failed_work() -> None:
    assert (FedmrgError("x").exit_code, InputError("x").exit_code) == (1, 2)


def test_a_group_lists_its_errors_and_counts_them() -> None:
    one = ErrorGroup([Wrong("first", hint="h")])
    assert one.explain() == "FMRG-0999  first\n    h\n1 error; nothing was started."
    two = ErrorGroup([Wrong("first"), Wrong("second")])
    assert two.explain().splitlines()[-1] == "2 errors; nothing was started."
    assert two.exit_code == 2
