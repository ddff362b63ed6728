import time
from concurrent.futures import ThreadPoolExecutor

from fedmrg_secure.protocol.sequence import Sequence


def test_numbers_never_repeat_even_between_threads() -> None:
    sequence = Sequence()
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: sequence.next(), range(2000)))
    assert len(set(numbers)) == 2000


def test_a_later_process_is_above_an_earlier_one() -> None:
    earlier = Sequence().next()
    time.sleep(0.001)
    assert Sequence().next() > earlier
