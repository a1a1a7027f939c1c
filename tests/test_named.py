"""Arrays read by the names of their axes."""

import numpy as np
import pytest

from ssltheory.book.named import Named

RUNS = np.arange(2 * 3 * 4 * 5).reshape(6, 4, 5)


def test_a_stack_in_the_order_of_a_product_is_read_by_label():
    named = Named(RUNS, init=("torch", "he"), fold=("none", "bn", "dn"), seed=None, layer=None)
    assert (named(init="he", fold="bn") == RUNS[1 * 3 + 1]).all()
    assert (named(fold="dn", layer=2) == RUNS[2::3, :, 2]).all()


def test_axes_that_are_only_counted_are_read_by_place():
    assert (Named(RUNS, run=None, seed=None, layer=None)(seed=3) == RUNS[:, 3]).all()


@pytest.mark.parametrize(
    "axes",
    [
        {"init": ("torch", "he"), "seed": None, "layer": None},
        {"run": None, "seed": ("a", "b"), "layer": None},
        {"run": None, "seed": None},
    ],
)
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ValueError, match="do not fit"):
        Named(RUNS, **axes)


def test_an_unknown_label_or_axis_is_a_key_error():
    named = Named(RUNS, init=("torch", "he"), fold=("none", "bn", "dn"), seed=None, layer=None)
    with pytest.raises(KeyError, match="one of torch, he"):
        named(init="xavier")
    with pytest.raises(KeyError):
        named(depth=1)
