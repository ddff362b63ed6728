"""`map_ahead` is `map`, on threads, a bounded number of items ahead."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.core.ahead import map_ahead


@given(st.lists(st.integers(), max_size=40), st.integers(1, 5))
def test_it_is_map(items: list[int], workers: int) -> None:
    assert list(map_ahead(lambda item: item + 1, items, workers=workers)) == [
        item + 1 for item in items
    ]


def test_it_never_runs_far_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(100):
            taken += 1
            yield item

    for done, _ in enumerate(map_ahead(lambda item: item, items(), workers=3)):
        assert taken <= done + 6


def test_it_works_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert len(list(map_ahead(lambda _: both.wait(), range(2), workers=2))) == 2


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_at_its_place(workers: int) -> None:
    results = map_ahead(lambda item: 6 // item, [3, 2, 0, 1], workers=workers)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
