"""One training run over several processes: each takes its share of the images, the loss is that of the whole batch.

``train.train`` uses these functions. Each process embeds its share of the batch, ``gather`` gives the embeddings of
the whole batch to all, and each computes the whole loss. The gradient flows back through the process's own share
alone, and the sum over the processes is the gradient of the whole batch. If this process has not joined a group,
every function here changes nothing.

Processes are started by ``launch``, from a notebook, or by ``torchrun``, whose script calls ``joined``.
"""

import hashlib
import itertools
import os
import pickle
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ssltheory.errors import InputError, Paused, RunError

T = TypeVar("T")
_launches = itertools.count()


def world_size() -> int:
    """Number of processes; 1 if no group has been joined."""
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if _grouped() else 0


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


def images_axis(x: Tensor) -> int:
    """1 for a stack's own images ``(seeds, n, m)`` or ``(seeds, n, c, h, w)``, else 0 (see ``encoders.stack``)."""
    return 1 if x.ndim in (3, 5) else 0


def shard(x: Tensor) -> Tensor:
    """This process's share of the images, a contiguous part: ``(n, ...) -> (n / world_size, ...)``.

    Raises:
        InputError: if the number of images is not divisible by the number of processes.
    """
    n, processes = x.shape[images_axis(x)], world_size()
    if n % processes:
        raise InputError(
            f"{n} images cannot be shared out evenly among {processes} processes: take a multiple of {processes}"
        )
    return x.chunk(processes, images_axis(x))[rank()] if processes > 1 else x


def fork(generator: torch.Generator) -> torch.Generator:
    """A generator for this process alone, a new one at each call; with one process ``generator`` itself.

    The shared generator advances by one draw, on all processes alike. Nothing waits for the device.
    """
    if world_size() == 1:
        return generator
    torch.rand(1, generator=generator, device=generator.device)
    state = generator.get_state().numpy().tobytes() + rank().to_bytes(4)
    seed = int.from_bytes(hashlib.sha256(state).digest()[:8])
    return torch.Generator(generator.device).manual_seed(seed)


def gather(z: Any) -> Any:
    """Embeddings of all processes, in the order of ranks: ``(..., n, d) -> (..., n · world_size, d)``.

    The gradient goes through this process's own share. Tuples are gathered member by member.
    """
    if world_size() == 1:
        return z
    if not isinstance(z, Tensor):
        return tuple(map(gather, z))
    parts = _all_gather(z.detach())
    parts[rank()] = z
    return torch.cat(parts, max(-2, -z.ndim))


def total(x: Tensor) -> Tensor:
    """Sum over the processes, without a gradient."""
    if world_size() == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x


def broadcast(value: T) -> T:
    """The value of rank 0, which may be anything that can be pickled, on all processes."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, device=torch.device("cpu"))
    return box[0]


def on_first(function: Callable[..., T], *args: Any) -> T | None:
    """Call ``function`` on rank 0 while the others wait; its value there, None elsewhere.

    An exception that it raises is raised on all processes.
    """
    if world_size() == 1:
        return function(*args)
    value = error = None
    if rank() == 0:
        try:
            value = function(*args)
        except Exception as raised:
            error = raised
    if (error := broadcast(error)) is not None:
        raise error
    return value


def replicate(model: nn.Module) -> nn.Module:
    """The model with rank 0's parameters, and with gradients that ``backward`` averages over the processes."""
    if world_size() == 1:
        return model
    with warnings.catch_warnings():  # of torch 2.15: the setting has a new name there
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(model, broadcast_buffers=False)


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm in training mode uses the mean and variance of all processes' images.

    torch's ``SyncBatchNorm`` works on GPUs only. The model itself does not change, so that outside one process can
    measure it without the others.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)] if world_size() > 1 else []
    for norm in norms:
        norm.forward = partial(_batch_norm, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _batch_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, x)
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    own = torch.stack(torch.var_mean(wide, (0, *range(2, x.ndim)), correction=0))
    variances, means = _Stack.apply(own).unbind(1)
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)  # equal shares
    seen = norm.num_batches_tracked
    if seen is not None and norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            n = world_size() * x.numel() // x.shape[1]
            seen.add_(1)
            new = 1 / seen if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, new)
            norm.running_var.lerp_(variance * n / (n - 1), new)
    columns = (-1, *(1 for _ in x.shape[2:]))
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    y = (wide - mean.view(columns)) * scale.view(columns)
    if norm.affine:
        y = y + norm.bias.view(columns)
    return y.to(x.dtype)


class _Stack(torch.autograd.Function):
    """Stacks ``(...)`` of each process to ``(world_size, ...)``, with the gradient of every process's loss."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.stack(_all_gather(x))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return total(gradient)[rank()]

    @staticmethod
    def vmap(info, in_dims, x: Tensor) -> tuple[Tensor, int]:
        return _Stack.apply(x.movedim(in_dims[0], 0)), 1


def _all_gather(x: Tensor) -> list[Tensor]:
    x = x.contiguous()
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x)
    return parts


# Starting processes


@contextmanager
def joined(device: torch.device | str = "cpu") -> Iterator[None]:
    """Inside, this process belongs to the group that ``torchrun`` started; without torchrun it is alone.

    Args:
        device: where the training runs. From here on ``cuda`` is this process's own GPU.
    """
    if "RANK" not in os.environ:
        yield
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    yield  # after an exception the others may be gone, so there is nothing left to synchronise
    dist.destroy_process_group()


def launch(
    function: Callable[..., T],
    *args: Any,
    processes: int = 1,
    device: torch.device | str = "cpu",
    restarts: int = 3,
) -> T:
    """Run ``function(*args)`` in a group of processes, by torch's elastic launcher (that of ``torchrun``).

    One process on one host is a plain call. For several hosts, make the same call on each, with torchrun's variables
    ``PET_NNODES`` (the number of hosts), ``PET_RDZV_ENDPOINT`` (``host:port`` of one of them) and ``PET_RDZV_ID``
    (a name for the run) in the environment.

    Args:
        function: may be defined in a notebook. It is sent with everything it refers to, so it should load its data
            itself.
        args: its arguments.
        processes: on this host; they share the processor's threads.
        device: where they compute; each takes its own GPU.
        restarts: how often all processes are started again when one dies. Training resumes from its checkpoint, if
            there is one.

    Returns:
        What ``function`` returned on rank 0, on every host.

    Raises:
        InputError: for a number of processes or a device that is not available, or a function that cannot be sent.
        RunError: if a process died, or raised anything unexpected, more than ``restarts`` times.
        KeyboardInterrupt: if it was interrupted.
        SignalException: if another signal stopped the launcher.

    ``InputError``, ``Paused`` and ``RunError`` from ``function`` are raised here as well.
    """
    hosts, kind = _whole("PET_NNODES", 1), torch.device(device).type
    if processes < 1:
        raise InputError(f"processes={processes}: take 1 or more")
    if processes == hosts == 1:
        return function(*args)
    if kind not in ("cpu", "cuda") or not dist.is_available():
        raise InputError(
            f"processes={processes}: device={kind} takes only one; several need device=cpu or cuda"
        )
    if kind == "cuda" and processes > torch.cuda.device_count():
        raise InputError(
            f"processes={processes}: each needs a GPU of its own and there are {torch.cuda.device_count()}: "
            "take fewer, or device=cpu"
        )
    endpoint = os.environ.get("PET_RDZV_ENDPOINT", "" if hosts > 1 else "localhost:0")
    if not endpoint:
        raise InputError(f"PET_NNODES={hosts} needs PET_RDZV_ENDPOINT, host:port of one of them")

    import cloudpickle
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    try:
        work = cloudpickle.dumps((function, args))
    except (TypeError, pickle.PicklingError) as error:
        raise InputError(f"this cannot be sent to other processes: {error}") from error
    # Each start gets its own store: in a shared one, restarted processes find the addresses of the dead.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    threads = max(1, torch.get_num_threads() // processes)
    with tempfile.TemporaryDirectory(prefix="ssltheory-") as logs, _signals_kept():
        config = LaunchConfig(
            min_nodes=hosts,
            max_nodes=hosts,
            nproc_per_node=processes,
            run_id=f"{os.environ.get('PET_RDZV_ID', 'ssltheory')}-{next(_launches)}",
            rdzv_backend="c10d",
            rdzv_endpoint=endpoint,
            max_restarts=restarts,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            values = elastic_launch(config, _work)(work, threads, kind)
        except ChildFailedError as error:
            number, failure = error.get_first_failure()
            message = failure.error_file_data.get("message", failure.message)
            raise RunError(
                f"process {number} of {hosts * processes} failed, after {restarts} restarts: "
                + (message["message"] if isinstance(message, dict) else message)
            ) from error
        except SignalException as error:
            if error.sigval == signal.SIGINT:
                raise KeyboardInterrupt from error
            raise
    value, raised = pickle.loads(next(iter(values.values())))
    if raised is not None:
        raise raised
    return value


def _work(work: bytes, threads: int, device: str) -> bytes | None:
    """In each process: rank 0's value, and its error if a restart would meet the same one again."""
    import cloudpickle
    from torch.distributed.elastic.multiprocessing.errors import record

    @record
    def call() -> bytes:
        torch.set_num_threads(threads)
        with joined(device):
            function, args = cloudpickle.loads(work)
            outcome: tuple[Any, Exception | None]
            try:
                outcome = function(*args), None
            except (InputError, Paused, RunError) as error:
                outcome = None, error
            return broadcast(cloudpickle.dumps(outcome if rank() == 0 else None))

    return call()


def _whole(variable: str, default: int) -> int:
    value = os.environ.get(variable, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise InputError(f"{variable}={value} must be a whole number of 1 or more")
    return int(value)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Inside, signal handlers may change; afterwards they are as before. The launcher sets its own and leaves them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        s: signal.getsignal(s) for s in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
