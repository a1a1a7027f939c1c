"""The package alone: losses and theory without Jupyter, and what a wheel holds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "ssltheory"
#: What the extras bring; the rest of the package must do without.
BLOCKED = "papermill nbformat nbclient IPython ipykernel jupyter_core jupyter_book bokeh"
BLOCKED += " playwright pypdf pyarrow ray"
BUILDS_THE_BOOK = {"pages", "pdf", "explorers.pictures"}


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
