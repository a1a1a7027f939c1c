"""Arrays of a record read by the names of their axes."""

from collections.abc import Hashable, Sequence
from math import prod

import numpy as np


class Named:
    """An array whose axes have names and, where they stand for choices, labels.

        density = Named(arrays["density"], init=("torch", "he"), fold=("none", "bn"), seed=None, layer=None)
        density(init="he", fold="bn")  # (seeds, layers)

    The first axes may share the array's first one, as where runs were stacked in the order of a product.

    Args:
        array: of any shape.
        axes: name -> labels, or None for an axis that is only counted, in the order of the array.

    Raises:
        ValueError: if the axes do not fit the array's shape.
    """

    def __init__(self, array: np.ndarray, **axes: Sequence[Hashable] | None) -> None:
        folded = len(axes) - array.ndim + 1
        labels = list(axes.values())
        lead = [0 if own is None else len(own) for own in labels[:folded]]
        if folded == 1 and labels[0] is None:
            lead = [array.shape[0]]
        sizes = (*lead, *array.shape[1:])
        fits = folded >= 1 and prod(lead) == array.shape[0]
        fits = fits and all(
            own is None or len(own) == size for own, size in zip(labels, sizes, strict=True)
        )
        if not fits:
            raise ValueError(f"axes {axes} do not fit an array of shape {array.shape}")
        self.values = array.reshape(sizes)
        self.axes = axes

    def __call__(self, **at: Hashable) -> np.ndarray:
        """The part where each named axis has that label, or that place if it has no labels.

        Raises:
            KeyError: for an axis or a label that there is not.
        """
        place: list = [slice(None)] * self.values.ndim
        names = list(self.axes)
        for name, label in at.items():
            labels = self.axes[name]
            if labels is not None and label not in labels:
                raise KeyError(
                    f"{name} has no {label!r}: it is one of {', '.join(map(str, labels))}"
                )
            place[names.index(name)] = label if labels is None else list(labels).index(label)
        return self.values[tuple(place)]
