"""What the animation beside Figure 1 of simon2023stepwise shows: Barlow Twins, d = 512, from a small start.

Read off the published file, digitised; times are in its own unit, from 0 to 44,000. It is another run than that of
Figure 1 C. Its right panel: about 130 points on one fixed set of three axes, a point at 2,400, a line at 6,400, a bent
V in a plane at 8,400, a cloud at 15,700.
"""

import numpy as np

SOURCE = "simon2023stepwise, animation of Figure 1, digitised"
DIM = 512

#: When the loss is half-way down each step.
LOSS_STEPS = [2900, 4600, 7850, 14850, 23350, 24500, 36050, 39100]
#: When each eigenvalue of the covariance passes ``LEVEL``.
COVARIANCE_ONSETS = [4600, 7770, 14800, 23300, 24400, 36000, 39200]
LEVEL = 0.016


def missing() -> np.ndarray:
    """Covariance eigenvalues that have passed half-way between loss steps k and k + 1, less k: ``(7,)``, k = 1, …"""
    steps = np.array(LOSS_STEPS)
    middle = (steps[:-1] + steps[1:]) / 2
    passed = (np.array(COVARIANCE_ONSETS) < middle[:, None]).sum(1)
    return passed - np.arange(1, len(steps))
