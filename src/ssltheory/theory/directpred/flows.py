"""Integration of the flows of DirectPred, and checks of their settings."""

import numpy as np
import scipy.integrate
from numpy.typing import ArrayLike
from torch import Tensor

from ssltheory.errors import InputError, RunError


def _integrate(velocity, starts, times, rtol=1e-11) -> list[np.ndarray]:
    """Several arrays under ``velocity(*arrays) -> arrays``, each ``(T, ...)`` at ``times`` (DOP853)."""
    if not (times.ndim == 1 and len(times) and times[0] >= 0 and (np.diff(times) > 0).all()):
        raise InputError("times must be one or more, strictly increasing, the first 0 or later")
    starts = [np.asarray(z, dtype=np.float64) for z in starts]
    if not all(np.isfinite(z).all() for z in starts):
        raise InputError("a start holds a NaN or an infinity: draw it anew")
    cuts = np.cumsum([z.size for z in starts])[:-1]

    def unpack(flat):
        pieces = np.split(flat, cuts, axis=-1)
        return [v.reshape(flat.shape[:-1] + z.shape) for v, z in zip(pieces, starts, strict=True)]

    def flat_velocity(_, flat):
        return np.concatenate([np.ravel(v) for v in velocity(*unpack(flat))])

    start = np.concatenate([z.ravel() for z in starts])
    with np.errstate(over="ignore", invalid="ignore"):
        solved = scipy.integrate.solve_ivp(
            flat_velocity, (0.0, times[-1]), start, "DOP853", times, rtol=rtol, atol=rtol / 100
        )
    if not solved.success or not np.isfinite(solved.y).all():
        raise RunError(
            f"the flow could not be integrated to t={times[-1]:g} ({solved.message}): "
            "take a smaller start or an earlier end"
        )
    return unpack(solved.y.T)


def _check_settings(weight_decay: ArrayLike, beta: float | None = None, **others) -> None:
    demands = {"weight_decay": (weight_decay, False)}
    demands |= {name: (value, name != "noise") for name, value in others.items()}
    if beta is not None:
        demands["beta"] = (beta, True)
    for name, (value, positive) in demands.items():
        value = np.asarray(value, dtype=np.float64)
        if not (np.isfinite(value) & ((value > 0) if positive else (value >= 0))).all():
            raise InputError(f"{name}={value} must be finite and {'>' if positive else '>='} 0")


def _check_shapes(*demands: tuple[Tensor, tuple[int, ...]]) -> None:
    for matrix, shape in demands:
        if tuple(matrix.shape) != tuple(shape) or matrix.ndim != 2:
            raise InputError(
                f"a matrix has the shape {tuple(matrix.shape)} instead of {tuple(shape)}: "
                "W and W_a must be (n2, n1), W_p and F (n2, n2), X and X' (n1, n1)"
            )
