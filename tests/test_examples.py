"""Every public closed form and loss shows an example in its docstring, and all of these examples run."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from ssltheory import deep_tensor, losses, theory, unitary
from ssltheory.measure import spectra

THEORY = [module.name for module in pkgutil.walk_packages(theory.__path__, "ssltheory.theory.")]


def public(module):
    """The functions and classes that a module defines itself and does not hide."""
    return [
        member
        for name, member in vars(module).items()
        if (inspect.isfunction(member) or inspect.isclass(member))
        and member.__module__ == module.__name__
        and not name.startswith("_")
    ]


MODULES = [*map(importlib.import_module, THEORY), losses, spectra]
OBJECTS = [member for module in MODULES for member in public(module)]
OBJECTS += [*public(unitary), deep_tensor.factorize]


def identity(member):
    return f"{member.__module__.removeprefix('ssltheory.')}.{member.__name__}"


@pytest.mark.parametrize("member", OBJECTS, ids=identity)
def test_has_an_example_that_runs(member):
    names = dict(vars(inspect.getmodule(member)))
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    (example,) = finder.find(member, identity(member), globs=names)
    assert example.examples, "no example: end its docstring with a section `Examples:`"
    report = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not failed, "".join(report)


def test_the_modules_are_all_there():
    names = {identity(member) for member in OBJECTS}
    assert {"theory.stepwise.linear.linear_barlow_twins", "theory.directpred.modes.Modes"} <= names
    assert {"losses.vicreg", "measure.spectra.step_times", "unitary.ProjUNN"} <= names
