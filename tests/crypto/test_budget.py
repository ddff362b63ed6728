from __future__ import annotations

import pytest

from fedmrg_secure.crypto.budget import MAX_MODULUS_BITS, check_security, required_scale
from fedmrg_secure.crypto.errors import UnsafeParameters


@pytest.mark.parametrize(("ring_degree", "bits"), MAX_MODULUS_BITS.items())
def test_the_he_standards_table(ring_degree: int, bits: int) -> None:
    table = {1024: 27, 2048: 54, 4096: 109, 8192: 218, 16384: 438}
    assert table[ring_degree] == bits
    check_security(ring_degree, (1 << bits) - 1)
    with pytest.raises(UnsafeParameters, match="128-bit"):
        check_security(ring_degree, 1 << bits)


def test_an_unknown_ring_is_refused() -> None:
    with pytest.raises(UnsafeParameters, match="ring degree"):
        check_security(512, 3)


def test_the_scale_puts_half_a_step_at_ten_deviations_and_not_much_more() -> None:
    # N/2 * (21/2 * n + n^2/12) is 104.1^2 for one site and 210.6^2 for four.
    assert required_scale(2048, 1) == 2083
    assert required_scale(2048, 4) == 4213
