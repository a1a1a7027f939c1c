"""Where a number comes from: code, commit, machine; and whether the code has changed its meaning since.

The meaning of code is its syntax tree without comments, docstrings and layout. A record keeps a hash of it for
the notebook and for every module on the measurement path: those of this package that the notebook imports,
directly or not, without the ones that only describe, check, draw or store (``OFF_PATH``).
"""

import ast
import hashlib
import json
import platform
import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = Path(__file__).resolve().parent
OFF_PATH = frozenset(
    {
        "chapters",
        "claims",
        "cli",
        "errors",
        "figures",
        "pages",
        "progress",
        "provenance",
        "records",
        "runner",
    }
)
LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")


def code_hashes(notebook: Path) -> dict[str, str]:
    """Hash of the meaning of a notebook's code (without the values in its parameters cell) and of each module
    on its measurement path, by name."""
    cells = [
        cell
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    sources = [
        "".join(cell["source"])
        for cell in cells
        if not {"parameters", "injected-parameters"} & set(cell.get("metadata", {}).get("tags", []))
    ]
    tree = _notebook_tree("\n".join(sources))
    hashes = {"notebook": _hash(meaning(tree))}
    for module in sorted(_reachable(tree)):
        hashes[module] = _module_hash(_file(module))
    return hashes


def meaning(tree: ast.AST) -> str:
    """A syntax tree as text, the same for code that does the same: no docstrings, positions or empty fields."""
    if isinstance(tree, ast.Constant):
        return repr(tree.value)
    fields = []
    for name, value in ast.iter_fields(tree):
        if name == "body" and _has_docstring(tree):
            value = value[1:]
        if isinstance(value, ast.AST):
            fields.append(f"{name}={meaning(value)}")
        elif isinstance(value, list) and value:
            parts = [meaning(v) if isinstance(v, ast.AST) else repr(v) for v in value]
            fields.append(f"{name}=[{','.join(parts)}]")
        elif value not in (None, [], ""):
            fields.append(f"{name}={value!r}")
    return f"{type(tree).__name__}({','.join(fields)})"


def _has_docstring(tree: ast.AST) -> bool:
    kinds = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return isinstance(tree, kinds) and ast.get_docstring(tree, clean=False) is not None


def changes(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names of what differs between two sets of hashes, sorted."""
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def commit(folder: Path) -> dict[str, object]:
    """The git commit that ``folder`` is at, and whether sources or notebooks differ from it; without a checkout,
    the version of the package and ``dirty`` None."""
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # tracked, not merely inside some checkout
        revision = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", "src", "notebooks")
        return {"commit": revision, "dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        from ssltheory import __version__

        return {"commit": f"no git checkout; ssltheory {__version__}", "dirty": None}


def versions() -> dict[str, str]:
    """Of Python and of the libraries that compute."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in LIBRARIES
    }


def device(name: str = "auto") -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``mps`` stands for here.

    Raises:
        InputError: if it is not on this machine.
    """
    from ssltheory.errors import InputError

    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there.get(name, False):
        raise InputError(f"device={name}: not on this machine; device=auto takes what there is")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The processor's model, e.g. "NVIDIA H200" or "AMD EPYC … (2 threads)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
            model,
        )
    prefix = "Apple GPU of " if device.type == "mps" else ""
    return f"{prefix}{model} ({torch.get_num_threads()} threads)"


def peak_memory(device: torch.device) -> int:
    """Largest memory held so far, in bytes: the GPU's where it computes, else the process's (0 if unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _notebook_tree(source: str) -> ast.Module:
    """The code of a notebook; a line that only IPython understands (``%time``, ``!pip``) stands as its text."""
    try:
        return ast.parse(source)
    except SyntaxError:
        plain = re.sub(r"(?m)^([ \t]*)([%!].*)$", lambda m: m[1] + repr(m[2]), source)
        return ast.parse(plain)


@cache
def _parsed(path: Path, modified: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _tree(path: Path) -> ast.Module:
    return _parsed(path, path.stat().st_mtime_ns)


def _module_hash(path: Path) -> str:
    return _hash(meaning(_tree(path)))


def _file(module: str) -> Path | None:
    """``ssltheory.theory.stepwise`` -> its file, None if there is no such module."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _reachable(tree: ast.AST) -> set[str]:
    found, ahead = set(), _imports(tree)
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead |= _imports(_tree(_file(module))) - found
    return found


def _imports(tree: ast.AST) -> set[str]:
    """Modules of this package on the measurement path that the code imports, at any depth."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        name
        for name in names
        if name.startswith("ssltheory.") and name.split(".")[1] not in OFF_PATH and _file(name)
    }
