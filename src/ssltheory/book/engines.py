"""What runs a job: this machine, with a share of a GPU for each run, or a Ray cluster.

On Ray a job is one task. The task runs the chapter in a folder of its own and sends the files back; this process
writes them where a local run would have. No file system is shared, but every node needs the same checkout.
"""

import hashlib
import math
import os
import platform
import queue
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ssltheory.book import fingerprint, provenance, records, runner
from ssltheory.book.runner import Job
from ssltheory.errors import InputError, Paused, RunError

NAMES = ("local", "ray")
LEAST_SHARE = 0.001  # of a GPU
RETRIES = 3  # of a point whose node or worker dies
OBJECT_STORE = 100_000_000  # bytes; of a cluster that is started here, which carries only records
MOST = 256  # tasks that are handed to Ray at a time
FILES = ("failure.ipynb", "failure.txt", "record.npz", "notebook.ipynb", "record.json")


@dataclass(frozen=True)
class Engine:
    """What ``runner.run`` needs.

    Attributes:
        execute: runs a job to its end and leaves its files in its folder.
        workers: jobs that it is given at a time.
    """

    execute: Callable[[Job], None]
    workers: int


@contextmanager
def start(
    name: str, jobs: int = 1, gpus_per_run: float = 0.0, address: str | None = None
) -> Iterator[Engine]:
    """An engine for as long as it is needed.

    Args:
        name: local or ray.
        jobs: runs at a time, here or on a cluster that is started here; a cluster that is there decides itself.
        gpus_per_run: share of a GPU, or whole GPUs, that each run gets; 0: none is set apart.
        address: of the Ray cluster: auto (the default), a host and port, ray://…, or none, which starts one here.

    Raises:
        InputError: if there is no such engine, cluster or GPU.
    """
    if name not in NAMES:
        raise InputError(f"no engine {name!r}: it is one of {', '.join(NAMES)}")
    share = gpus_per_run == 0 or LEAST_SHARE <= gpus_per_run <= 1
    if not share and not (math.isfinite(gpus_per_run) and gpus_per_run % 1 == 0):
        raise InputError(
            f"--gpus-per-run {gpus_per_run:g}: give a share of one GPU, e.g. 0.5, or a whole number of GPUs"
        )
    if name == "ray":
        with _ray_cluster(address or "auto", jobs, gpus_per_run) as ray:
            task = ray.remote(num_cpus=1, num_gpus=gpus_per_run, max_retries=RETRIES)(_task())
            yield Engine(partial(_on_ray, ray, task), MOST)
        return
    if address:
        raise InputError(f"--address {address}: only Ray takes an address: add --engine ray")
    if gpus_per_run:
        slots = gpu_slots(gpus_per_run, _gpus())
        yield Engine(partial(_on_gpu, slots), jobs)
    else:
        yield Engine(runner.execute, jobs)


def gpu_slots(share: float, gpus: list[str]) -> "queue.Queue[str]":
    """The values of ``CUDA_VISIBLE_DEVICES`` that runs may have at the same time.

    Args:
        share: of a GPU for each run, at most 1, or a whole number of GPUs.
        gpus: the GPUs there are.

    Raises:
        InputError: if there are not enough.
    """
    if len(gpus) < share or not gpus:
        raise InputError(
            f"--gpus-per-run {share:g}: this machine has {len(gpus) or 'no'} GPU{'s' * (len(gpus) > 1)}; "
            f"leave it out to compute on the processor"
        )
    if share >= 1:
        n = int(share)
        groups = [",".join(gpus[i : i + n]) for i in range(0, len(gpus) - n + 1, n)]
    else:
        groups = gpus * int(1 / share + 1e-9)
    slots: queue.Queue[str] = queue.Queue()
    for group in groups:
        slots.put(group)
    return slots


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(i) for i in range(count)]


def _on_gpu(slots: "queue.Queue[str]", job: Job) -> None:
    gpus = slots.get()
    try:
        runner.execute(job, {"CUDA_VISIBLE_DEVICES": gpus})
    finally:
        slots.put(gpus)


# Ray


@contextmanager
def _ray_cluster(address: str, cpus: int, gpus_per_run: float) -> Iterator[ModuleType]:
    """Ray, connected to a cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # it would send statistics
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError(
            "--engine ray needs Ray: pip install '.[ray]' in a clone, here and on every node"
        ) from error
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    own: dict[str, Any] = {}
    if address == "none":
        address, own = "local", {"num_cpus": cpus, "include_dashboard": False}
        own["object_store_memory"] = OBJECT_STORE
    try:
        ray.init(address=address, **quiet, **own)
    except (ConnectionError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"no Ray cluster at --address {address} ({reason}): start one, `ray start --head`, or give "
            f"--address none for one on this machine alone"
        ) from error
    try:
        there = ray.cluster_resources().get("GPU", 0)
        if there < gpus_per_run:
            raise InputError(
                f"--gpus-per-run {gpus_per_run:g}: the cluster has {there:g} GPUs; leave it out to compute on "
                f"processors, or let a node with GPUs join first"
            )
        yield ray
    finally:
        ray.shutdown()


def _task() -> Callable[[dict], dict]:
    """The function that goes to the nodes, by value: it can say that a node lacks the package."""

    def point(request: dict) -> dict:
        from ssltheory.book import engines

        return engines.answer(request)

    return point


def _on_ray(ray: ModuleType, task: Any, job: Job) -> None:
    """Run a job as a task and put what comes back in its folder."""
    request = {
        "chapter": job.chapter.id,
        "scale": job.scale,
        "values": job.parameters.model_dump(exclude={"out"}),
        "data": job.source.sha256,
        "code": _sources(job.notebook),
        "versions": _versions(),
    }
    try:
        answer = ray.get(task.remote(request))
    except ray.exceptions.RayError as error:
        raise _lost(job, error) from error
    for name in FILES:
        if name not in answer["files"] and name.startswith(("failure", "notebook")):
            (job.folder / name).unlink(missing_ok=True)
    try:
        for name, blob in answer["files"].items():
            if name.endswith((".ipynb", ".txt")):
                blob = blob.replace(answer["folder"].encode(), str(job.folder).encode())
            records.write(job.folder / name, blob)
    except OSError as error:
        raise RunError(
            f"{job.chapter.id}: what came back could not be written to {job.folder} ({error.strerror}): make room"
        ) from error
    if answer["error"]:
        kind, message = answer["error"]
        raise {"InputError": InputError, "RunError": RunError}[kind](
            message.replace(answer["folder"], str(job.folder))
        )


def answer(request: dict) -> dict:
    """Run, on a node, what was asked for.

    Args:
        request: chapter, scale, values, and the hashes of data, code and versions to hold this node to.

    Returns:
        ``files``, name -> bytes in the order in which to write them; ``folder`` that they were made in;
        ``error``: None, or its kind and message.
    """
    with tempfile.TemporaryDirectory(prefix="ssltheory-") as folder:
        error = None
        try:
            values = request["values"] | {"out": folder}
            job = runner.plan(request["chapter"], request["scale"], values)
            _hold_to(request, job)
            _to_the_end(job)
        except InputError as refused:
            error = "InputError", f"{refused} (said by node {platform.node()})"
        except RunError as failed:
            error = "RunError", str(failed)
        paths = {name: Path(folder) / name for name in FILES}
        files = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        return {"files": files, "folder": folder, "error": error}


def _to_the_end(job: Job) -> None:
    """Run a job; one that pauses goes on at once, for its checkpoints lie on this node alone."""
    while True:
        try:
            return runner.execute(job)
        except Paused:
            continue


def _hold_to(request: dict, job: Job) -> None:
    """Compare this node with the machine that asks.

    Raises:
        InputError: if code, versions or data differ.
    """
    for what, then, now in (
        ("code", request["code"], _sources(job.notebook)),
        ("versions", request["versions"], _versions()),
        ("data", {job.source.name: request["data"]}, {job.source.name: job.source.sha256}),
    ):
        changed = sorted(n for n in then.keys() | now.keys() if then.get(n) != now.get(n))
        if changed:
            raise InputError(
                f"a node has other {what} than the machine that started the runs ({', '.join(changed[:5])}): put "
                f"the same commit, environment and data on every node, and start Ray there in the checkout"
            )


def _sources(notebook: Path) -> dict[str, str]:
    """Hash of the notebook and of every module of the package, by name."""
    modules = {
        str(p.relative_to(fingerprint.PACKAGE)): p for p in fingerprint.PACKAGE.rglob("*.py")
    }
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for name, path in sorted(modules.items() | {(notebook.name, notebook)})
    }


def _versions() -> dict[str, str]:
    """Versions, without the part that tells a library's build for one GPU or another."""
    return {name: version.split("+")[0] for name, version in provenance.versions().items()}


def _lost(job: Job, error: Exception) -> Exception:
    cause = getattr(error, "cause", None)
    if isinstance(cause, ModuleNotFoundError):
        return InputError(
            f"a node of the Ray cluster has no {cause.name}: install the same checkout and environment there"
        )
    reason = " ".join(str(error).split()).split(". ")[0]
    return RunError(
        f"{job.chapter.id} was lost on Ray ({type(error).__name__}: {reason}): run again"
    )
