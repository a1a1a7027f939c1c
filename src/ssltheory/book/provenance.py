"""Where a number comes from: commit, machine, libraries."""

import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import torch

LIBRARIES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn")


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
        raise InputError(
            f"device={name}: this machine has no such device; device=auto takes one that it has"
        )
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
    status = Path("/proc/self/status")
    if status.exists():  # Linux, whose ru_maxrss begins with what the parent held
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(match[1]) << 10 if match else 0
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
