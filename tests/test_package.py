"""The package alone: losses and theory without Jupyter, and what a wheel holds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ssltheory"
#: What the extras bring; the rest of the package must do without.
BLOCKED = "papermill nbformat nbclient IPython ipykernel jupyter_core jupyter_book bokeh"
BLOCKED += " playwright pypdf pyarrow ray"
BUILDS_THE_BOOK = {"book.pages", "book.pdf"}


def test_everything_but_the_book_imports_without_jupyter():
    modules = sorted(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")
    )
    plain = [m for m in modules if "__" not in m and m not in BUILDS_THE_BOOK]
    assert len(plain) > 40
    code = f"""
import importlib, sys
for name in {BLOCKED.split()!r}:
    sys.modules[name] = None
for name in {plain!r}:
    importlib.import_module("ssltheory." + name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


OLD_NAMES = """
from ssltheory import augmentations, data, deep_tensor, encoders, losses, predictors, records, spectra, train, unitary
from ssltheory.data import load
from ssltheory.records import load as load_record
from ssltheory.spectra import eigenvalues
from ssltheory.theory import directpred, kernel_ssl, singular_values, spectral_embedding, stepwise
from ssltheory.theory.stepwise import linear_barlow_twins
import ssltheory.predictors
import ssltheory.book.records, ssltheory.measure.spectra, ssltheory.models.predictors

assert data.load is load and records.load is load_record is ssltheory.book.records.load
assert spectra.eigenvalues is eigenvalues is ssltheory.measure.spectra.eigenvalues
assert ssltheory.predictors.DirectPred is ssltheory.models.predictors.DirectPred
assert callable(train.train) and callable(losses.barlow_twins) and callable(unitary.ProjUNN)
assert callable(deep_tensor.factorize) and callable(augmentations.random_crop)
assert stepwise.linear_barlow_twins is linear_barlow_twins
try:
    spectra.no_such_name
except AttributeError:
    pass
else:
    raise AssertionError("a name that is not there was found")
"""


def test_scripts_of_others_find_modules_under_their_old_names():
    done = subprocess.run(
        [sys.executable, "-c", OLD_NAMES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_package_by_itself_imports_nothing_heavy():
    code = (
        "import sys, ssltheory; assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
