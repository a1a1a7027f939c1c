"""Training: two views in, a loss down, observations on the way.

``train(model, views, loss, recipe)`` is one loop for every chapter (``loop``). A ``Recipe`` holds its
settings, ``pairs`` and ``augmented`` draw its views, a ``Checkpoint`` lets it pause and go on. A
``stage`` is a part of a longer run whose results are kept.
"""

from ssltheory.train.checkpoint import Checkpoint
from ssltheory.train.lars import LARS
from ssltheory.train.loop import train
from ssltheory.train.recipe import Recipe, learning_rates, log_steps
from ssltheory.train.run import Result
from ssltheory.train.stages import stage
from ssltheory.train.views import Views, augmented, pairs

__all__ = [
    "LARS",
    "Checkpoint",
    "Recipe",
    "Result",
    "Views",
    "augmented",
    "learning_rates",
    "log_steps",
    "pairs",
    "stage",
    "train",
]
