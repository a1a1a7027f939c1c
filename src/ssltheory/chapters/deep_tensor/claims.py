"""Claims of chapter 18.

No table of the paper could be read. First code is when its official code was first run, before this chapter was
written; fresh seeds are 10 to 14, before seeds 0 to 4 were looked at.

bound                            | set when    | seen there, and changed why
-------------------------------- | ----------- | -----------------------------------------------------------------
gain: 3.5 dB, too-long: 1 dB,    | first code  | the 1 dB was always said of 500 iterates; a shorter run of the
permuted: 2 dB                   |             | tests, of 300 and two seeds, had it at 0.9 and made us restrict
                                 |             | the claim to 500 and more
free-factors: 0.05 dB            | first code  |
cube-*, 64³: 6 and 1.5 dB        | first code  |
step-time, 64³: 15               | first code  |
cube-*, 32³; step-time, 32³      | fresh seeds |
level                            | fresh seeds |
oracle-wins, 32 channels, 1e-3   | fresh seeds |
oracle-wins, 128 channels, 1e-4, | first code, | the SVD at its best rank was 0.6 to 1 dB ahead without structure
1,000 iterates: official recipe  | two seeds   | and 2.4 to 3.5 dB where piecewise constant; with few iterates at
                                 |             | that rate it wins because nothing is fitted yet: no claim
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from ssltheory.book.claims import Claim, Group, interval
from ssltheory.book.named import Named
from ssltheory.chapters.deep_tensor import Parameters
from ssltheory.deep_tensor import stop_step

PAPER = "saragadam2022deeptensor"
OURS = f"{PAPER}; bound ours"
CHANNELS = 32  # of the networks that the bounds on matrices are about
ENOUGH, TOO_LONG = 300, 500  # iterates from which on gains, and losses by too many, are judged
#: Channels and learning rate on the official signals: iterates from which on the best one is judged.
OFFICIAL = {(32, 1e-3): 100, (128, 1e-4): 1000}
#: Side of the cube: least gain over the SVD of the same rank, over that of the best rank, dB.
CUBE = {64: (6.0, 1.5), 32: (2.5, 1.0)}
#: Side of the largest cube timed: least ratio of a step of the 3-D U-Net to one of three 1-D networks.
RATIO = {32: 8.0, 64: 15.0, 128: 15.0}
#: What is timed, in the order of ``step_seconds``.
METHODS = ("three 1-D nets", "2-D and 1-D net", "3-D U-Net")


# Readings


def stops(arrays: dict[str, np.ndarray], part: str) -> np.ndarray:
    """The iterate at which each fit of a part is stopped: ``(kinds, seeds)``."""
    distance, level = (torch.from_numpy(arrays[f"{part}_{key}"]) for key in ("distance", "level"))
    return stop_step(distance, level).numpy()


def at_stop(arrays: dict[str, np.ndarray], part: str) -> np.ndarray:
    """PSNR of that iterate, ``(kinds, seeds)``."""
    place = stops(arrays, part)[..., None]
    return np.take_along_axis(arrays[f"{part}_psnr"].astype(float), place, -1)[..., 0]


def level_ratio(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Expected squared error of the noisy matrix over the true one, ``(seeds,)``."""
    expected, _ = arrays["main_level"]
    true, _ = arrays["main_noise"]
    return expected / true


def largest_cube(arrays: dict[str, np.ndarray]) -> tuple[int, dict[str, float]]:
    """Side of the largest cube timed, and the seconds of a step on it by ``METHODS``."""
    seconds = Named(arrays["step_seconds"], side=None, method=METHODS)(side=-1)
    return int(arrays["step_sides"][-1]), dict(zip(METHODS, seconds.tolist(), strict=True))


# Claims


def claims(arrays: dict[str, np.ndarray], parameters: Parameters) -> list[Claim]:
    """The smooth matrices and their controls, the official signals, the cube, the time of a step."""
    return [
        *_main(arrays, parameters),
        _official(arrays, parameters),
        *_cube(arrays, parameters),
        _time(arrays),
    ]


def _main(arrays: dict[str, np.ndarray], parameters: Parameters) -> Iterator[Claim]:
    (stopped, stopped_permuted), (svd, svd_permuted) = at_stop(arrays, "main"), arrays["main_svd"]
    last, _ = arrays["main_psnr"][..., -1].astype(float)
    recipe = parameters.dim == CHANNELS
    claim = Group(OURS, recipe and parameters.steps >= ENOUGH)

    level = level_ratio(arrays)
    words = (
        "Expected squared error, from the noisy matrix alone, over the true one: mean over seeds"
    )
    note = f"{_seeds(level)}, from {level.min():.3f} to {level.max():.3f}"
    yield Group("ours", note=note).equal("level", words, level.mean(), 1, 0.05)

    gain = stopped - svd
    words = "DeepTensor, stopped by the level of the noise, over the SVD of the same rank, dB"
    yield claim.at_least("gain", words, gain.mean(), 3.5, note=_seeds(gain))

    lost, inside = stopped - last, recipe and parameters.steps >= TOO_LONG
    words = "PSNR lost between the stop and the last iterate, dB"
    yield Group(OURS, inside, _seeds(lost)).at_least("too-long", words, lost.mean(), 1)

    change = np.abs(svd - svd_permuted).max()
    words = "Rows and columns permuted: largest change of the PSNR of the SVD, dB"
    yield Group(f"{PAPER}; control ours").equal("svd-permuted", words, change, 0, 1e-9)

    lost = stopped - stopped_permuted
    words = "Rows and columns permuted: what DeepTensor loses, dB"
    yield claim.at_least("permuted", words, lost.mean(), 2, note=_seeds(lost))

    distance = np.abs(arrays["free"] - svd).max()
    words = "Free factors, converged: largest distance of their PSNR from that of the SVD, dB"
    claim = Group("ours: Eckart and Young", note=f"{len(svd)} seeds")
    yield claim.equal("free-factors", words, distance, 0, 0.05)


def _official(arrays: dict[str, np.ndarray], parameters: Parameters) -> Claim:
    best = arrays["official_psnr"].max(-1).astype(float)
    ahead = (arrays["official_oracle"] - best).mean(0)
    recipe = parameters.official_dim, parameters.official_lr
    inside = parameters.official_steps >= OFFICIAL.get(recipe, math.inf)
    words = (
        "Official signals: SVD at its best rank over DeepTensor at its best iterate, both told by the clean "
        "signal, dB"
    )
    return Group(OURS, inside, _seeds(ahead)).at_least("oracle-wins", words, ahead.mean(), 0)


def _cube(arrays: dict[str, np.ndarray], parameters: Parameters) -> Iterator[Claim]:
    side, psnr = parameters.cube_side, float(arrays["cube_psnr"])
    step, stopped = int(arrays["cube_step"]), bool(arrays["cube_stopped"])
    end = f"stopped at {step}" if stopped else "stop not reached"
    inside = side in CUBE and parameters.cube_steps >= 200
    claim = Group(OURS, inside, f"{side}³, τ = 20, one seed, {end}")
    over_same, over_best = CUBE.get(side, CUBE[64])

    words = "Toy hyperspectral cube: DeepTensor over the SVD of the same rank, dB"
    yield claim.at_least("cube-gain", words, psnr - float(arrays["cube_svd"]), over_same)
    words = "Toy hyperspectral cube: DeepTensor over the SVD of the best rank, told by the clean cube, dB"
    yield claim.at_least("cube-oracle", words, psnr - float(arrays["cube_oracle"]), over_best)


def _time(arrays: dict[str, np.ndarray]) -> Claim:
    side, seconds = largest_cube(arrays)
    inside = side in RATIO and str(arrays["step_device"]) == "cpu"  # a GPU waits for its host
    note = f"{side}³, U-Net of width 16, least of interleaved steps"
    claim = Group(f"{PAPER}; configuration and bound ours", inside, note)
    words = "Seconds a step: 3-D U-Net over three 1-D networks, on the largest cube"
    ratio = seconds["3-D U-Net"] / seconds["three 1-D nets"]
    return claim.at_least("step-time", words, ratio, RATIO.get(side, 15))


def _seeds(values: np.ndarray) -> str:
    """How many there are, and the 95 % interval of their mean."""
    if len(values) == 1:
        return "one seed"
    return f"{len(values)} seeds, ± {interval(values)[1]:.2g} (95 %)"
