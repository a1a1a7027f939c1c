"""Claims of chapter 18.

No table of the paper could be read. Most bounds were set when its official code was first run, before this chapter was
written: 3.5, 1 and 2 dB on the matrices, 0.05 for free factors, 6 and 1.5 dB on the cube of 64³, 15 for the time of a
step on 64³. Set from seeds 10 to 14, before seeds 0 to 4 were looked at: those of the cube of 32³, of the time
on 32³, of the level of the noise and of the official signals by the smaller recipe (32 channels, 1e-3). By the
official recipe (128 channels, 1e-4, 1,000 iterates) two seeds were run before this chapter was written, not seeds 10 to
14: the SVD at its best rank was 0.6 to 1 dB ahead without structure and 2.4 to 3.5 dB where piecewise constant. With
few iterates at that rate the SVD wins because nothing is fitted yet, and nothing is claimed. The 1 dB that too many
iterates cost was always said of 500; a shorter run of the tests, of 300 and two seeds, had it at 0.9 and made us
restrict the claim to 500 and more.
"""

import math

import numpy as np
import torch

from ssltheory.book.claims import Claim, interval
from ssltheory.chapters.deep_tensor import Parameters
from ssltheory.deep_tensor import stop_step

PAPER = "saragadam2022deeptensor"
CHANNELS = 32  # of the networks that the bounds on matrices are about
ENOUGH, TOO_LONG = (
    300,
    500,
)  # iterates from which on gains, and what is lost by too many, are judged
#: Channels and learning rate on the official signals: iterates from which on the best one is judged.
OFFICIAL = {(32, 1e-3): 100, (128, 1e-4): 1000}
#: Side of the cube: least gain over the SVD of the same rank, over that of the best rank, dB.
CUBE = {64: (6.0, 1.5), 32: (2.5, 1.0)}
#: Side of the largest cube timed: least ratio of a step of the 3-D U-Net to one of three 1-D networks.
RATIO = {32: 8.0, 64: 15.0, 128: 15.0}


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """The smooth matrices and their controls, the official signals, the cube, the time of a step."""
    return [
        *_main(arrays, parameters),
        *_official(arrays, parameters),
        *_cube(arrays, parameters),
        _time(arrays, parameters),
    ]


def stops(arrays: dict[str, np.ndarray], part: str) -> np.ndarray:
    """The iterate at which each fit of a part is stopped: ``(kinds, seeds)``."""
    distance, level = (torch.from_numpy(arrays[f"{part}_{key}"]) for key in ("distance", "level"))
    return stop_step(distance, level).numpy()


def at_stop(arrays: dict[str, np.ndarray], part: str) -> np.ndarray:
    """PSNR of that iterate, ``(kinds, seeds)``."""
    place = stops(arrays, part)[..., None]
    return np.take_along_axis(arrays[f"{part}_psnr"].astype(float), place, -1)[..., 0]


def _mean_claim(
    name: str, statement: str, values: np.ndarray, bound: float, inside: bool = True
) -> Claim:
    source = f"{PAPER}; bound ours"
    mean, note = float(values.mean()), _seeds(values)
    return Claim(name, statement, mean, bound, 0.0, source, "at least", inside, note)


def _seeds(values: np.ndarray) -> str:
    if len(values) == 1:
        return "one seed"
    return f"{len(values)} seeds, ± {interval(values)[1]:.2g} (95 %)"


def _main(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    stopped, (svd, svd_permuted) = at_stop(arrays, "main"), arrays["main_svd"]
    last = arrays["main_psnr"][..., -1].astype(float)
    recipe = parameters.dim == CHANNELS
    enough = recipe and parameters.steps >= ENOUGH
    level = arrays["main_level"][0] / arrays["main_noise"][0]
    return [
        Claim(
            "level",
            "Expected squared error, from the noisy matrix alone, over the true one: mean over seeds",
            float(level.mean()),
            1.0,
            0.05,
            "ours",
            note=f"{_seeds(level)}, from {level.min():.3f} to {level.max():.3f}",
        ),
        _mean_claim(
            "gain",
            "DeepTensor, stopped by the level of the noise, over the SVD of the same rank, dB",
            stopped[0] - svd,
            3.5,
            enough,
        ),
        _mean_claim(
            "too-long",
            "PSNR lost between the stop and the last iterate, dB",
            stopped[0] - last[0],
            1.0,
            recipe and parameters.steps >= TOO_LONG,
        ),
        Claim(
            "svd-permuted",
            "Rows and columns permuted: largest change of the PSNR of the SVD, dB",
            float(np.abs(svd - svd_permuted).max()),
            0.0,
            1e-9,
            f"{PAPER}; control ours",
        ),
        _mean_claim(
            "permuted",
            "Rows and columns permuted: what DeepTensor loses, dB",
            stopped[0] - stopped[1],
            2.0,
            enough,
        ),
        Claim(
            "free-factors",
            "Free factors, converged: largest distance of their PSNR from that of the SVD, dB",
            float(np.abs(arrays["free"] - svd).max()),
            0.0,
            0.05,
            "ours: Eckart and Young",
            note=f"{len(svd)} seeds",
        ),
    ]


def _official(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    best = arrays["official_psnr"].max(-1).astype(float)
    recipe = parameters.official_dim, parameters.official_lr
    return [
        _mean_claim(
            "oracle-wins",
            "Official signals: SVD at its best rank over DeepTensor at its best iterate, both told by the clean "
            "signal, dB",
            (arrays["official_oracle"] - best).mean(0),
            0.0,
            parameters.official_steps >= OFFICIAL.get(recipe, math.inf),
        )
    ]


def _cube(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    side, found = parameters.cube_side, float(arrays["cube_psnr"])
    bounds = CUBE.get(side, CUBE[64])
    note = f"{side}³, τ = 20, one seed, " + (
        f"stopped at {int(arrays['cube_step'])}" if arrays["cube_stopped"] else "stop not reached"
    )
    judged = [
        ("cube-gain", "same rank", arrays["cube_svd"], bounds[0]),
        ("cube-oracle", "best rank, told by the clean cube", arrays["cube_oracle"], bounds[1]),
    ]
    return [
        Claim(
            name,
            f"Toy hyperspectral cube: DeepTensor over the SVD of the {words}, dB",
            found - float(reference),
            bound,
            0.0,
            f"{PAPER}; bound ours",
            "at least",
            inside=side in CUBE and parameters.cube_steps >= 200,
            note=note,
        )
        for name, words, reference, bound in judged
    ]


def _time(arrays: dict[str, np.ndarray], parameters: Parameters) -> Claim:
    three, _, unet = arrays["step_seconds"][-1]
    side = int(arrays["step_sides"][-1])
    return Claim(
        "step-time",
        "Seconds a step: 3-D U-Net over three 1-D networks, on the largest cube",
        float(unet / three),
        RATIO.get(side, 15.0),
        0.0,
        f"{PAPER}; configuration and bound ours",
        "at least",
        inside=side in RATIO and str(arrays["step_device"]) == "cpu",  # a GPU waits for its host
        note=f"{side}³, U-Net of width 16, least of interleaved steps",
    )
