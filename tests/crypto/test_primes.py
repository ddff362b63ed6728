from __future__ import annotations

import pytest

from fedmrg_secure.crypto.primes import is_prime, ntt_prime


def test_small_numbers() -> None:
    sieve = [n for n in range(2000) if n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))]
    assert [n for n in range(2000) if is_prime(n)] == sieve


@pytest.mark.parametrize("composite", [561, 3215031751, 3825123056546413051, (2**31 - 1) ** 2])
def test_pseudoprimes_are_told_apart(composite: int) -> None:
    assert not is_prime(composite)


@pytest.mark.parametrize("bits", [24, 33, 40, 54])
def test_the_largest_prime_with_a_transform(bits: int) -> None:
    prime = ntt_prime(2048, bits)
    assert prime.bit_length() == bits
    assert prime % 4096 == 1
    assert is_prime(prime)
    assert not any(is_prime(n) for n in range(prime + 4096, 1 << bits, 4096))


def test_the_40_bit_one_is_the_one_that_seal_chooses() -> None:
    from tenseal import sealapi

    assert [p.value() for p in sealapi.CoeffModulus.Create(2048, [40])] == [ntt_prime(2048, 40)]


def test_none_to_be_found() -> None:
    with pytest.raises(ValueError, match="no prime"):
        ntt_prime(2048, 12)
