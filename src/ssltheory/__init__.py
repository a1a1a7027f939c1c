"""Closed forms of self-supervised-learning theory, and the measurements that check them."""

import importlib
import sys
import types

__version__ = "0.1.0"

#: Modules that had a shorter name, under which scripts of others know them: old name -> where the module lies now.
MOVED = {
    "distributed": "train.distributed",
    "encoders": "models.encoders",
    "kernels": "measure.kernels",
    "noncontrastive": "models.siamese",
    "preconditioners": "train.preconditioners",
    "predictors": "models.predictors",
    "probes": "measure.probes",
    "records": "book.records",
    "spectra": "measure.spectra",
    "supervised": "train.supervised",
}


class _Moved(types.ModuleType):
    """A module under its old name; the module itself is imported when it is first used."""

    def __getattr__(self, name: str):
        if name.startswith("__"):  # what looks through all modules must not import these
            raise AttributeError(name)
        old = self.__name__.removeprefix(f"{__name__}.")
        return getattr(importlib.import_module(f"{__name__}.{MOVED[old]}"), name)


for _old in MOVED:
    _module = sys.modules[f"{__name__}.{_old}"] = _Moved(f"{__name__}.{_old}")
    setattr(sys.modules[__name__], _old, _module)
