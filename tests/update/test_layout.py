from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.update.layout import Layout, LayoutError

SHAPES = {"lora.b": (4, 2), "head.bias": (3,), "scale": ()}

names = st.text("abc.", min_size=1, max_size=6)
shapes = st.dictionaries(
    names, st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=6
)


@given(shapes, st.integers(0, 2**32 - 1))
def test_unflatten_inverts_flatten(shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    layout = Layout.of(shapes)
    random = np.random.default_rng(seed)
    tensors = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    vector = layout.flatten(tensors)
    assert vector.dtype == np.float64
    assert vector.shape == (layout.size,)
    back = layout.unflatten(vector)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(back[name], tensor)
        assert back[name].dtype == np.float32
        assert back[name].shape == shapes[name]


@given(shapes)
def test_json_and_digest_pin_the_layout(shapes: dict[str, tuple[int, ...]]) -> None:
    layout = Layout.of(shapes)
    again = Layout.from_json(json.loads(json.dumps(layout.to_json())))
    assert again == layout
    assert again.digest == layout.digest
    other = Layout.of({**shapes, "zzz": (2,)})
    assert other.digest != layout.digest


def test_the_digest_does_not_drift() -> None:
    canonical = b'[["head.bias",[3]],["lora.b",[4,2]],["scale",[]]]'
    preimage = b"".join(
        len(part).to_bytes(8, "big") + part for part in (b"fedmrg/layout/v1", canonical)
    )
    assert Layout.of(SHAPES).digest == hashlib.sha256(preimage).hexdigest()


def test_digest_does_not_depend_on_the_mappings_order() -> None:
    assert Layout.of(SHAPES).digest == Layout.of(dict(reversed(SHAPES.items()))).digest


def test_digest_tells_shapes_of_equal_size_apart() -> None:
    assert Layout.of({"a": (2, 3)}).digest != Layout.of({"a": (3, 2)}).digest


def test_tensors_lie_in_the_order_of_their_names() -> None:
    vector = Layout.of({"b": (2,), "a": (1,)}).flatten({"b": [1.0, 2.0], "a": [0.0]})
    assert vector.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "shapes",
    [{}, {"": (1,)}, {"x.specialized.b": (1,)}, {"empty": (0,)}, {"empty": (3, 0)}],
    ids=["none", "no name", "private", "empty", "empty axis"],
)
def test_unusable_tensors_are_refused(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(LayoutError):
        Layout.of(shapes)


def test_duplicates_are_refused() -> None:
    with pytest.raises(LayoutError, match="unique"):
        Layout((("a", (1,)), ("a", (1,))))


def test_flatten_wants_exactly_its_tensors() -> None:
    layout = Layout.of({"a": (2,)})
    with pytest.raises(LayoutError, match="missing tensors: a"):
        layout.flatten({})
    with pytest.raises(LayoutError, match="unknown tensors: b"):
        layout.flatten({"a": [0.0, 0.0], "b": [0.0]})
    with pytest.raises(LayoutError, match="shape"):
        layout.flatten({"a": [[0.0, 0.0]]})
    with pytest.raises(LayoutError, match="shape"):
        layout.unflatten(np.zeros(3))


@pytest.mark.parametrize("value", [{}, [["a"]], [["a", [1.5]]], [["a", [True]]], [[1, [1]]], None])
def test_from_json_refuses_other_forms(value: object) -> None:
    with pytest.raises(LayoutError):
        Layout.from_json(value)
