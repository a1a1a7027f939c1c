"""What Figure 1 C, D of simon2023stepwise shows: ResNet-50, STL-10, three losses from a small start.

Read off the published figure and the figure of the authors' blog post (Berkeley AI Research, 2023), digitised. An onset
is when an eigenvalue passes a level (Barlow Twins .25, SimCLR .05, VICReg 2.5), in the figure's unit of time, to about
±10, ±.3 and ±14. The loss is that of the plateau with k modes, from k = 0 on. The batch is inferred from where the
curve of SimCLR begins, the dimensions from where the other two do and from VICReg's first plateau.
"""

SOURCE = "simon2023stepwise, Figure 1 C, D, digitised"
BATCH = 256
DIM = {
    "barlow_twins": 512,
    "simclr": 128,
    "vicreg": 128,
}  # SimCLR's is not known; nothing here depends on it

#: An eigenvalue above this counts as there in ``ONSETS``.
LEVEL = {"barlow_twins": 0.25, "simclr": 0.05, "vicreg": 2.5}
#: Onsets of the modes.
ONSETS = {
    "barlow_twins": [144, 231, 417, 697, 1069, 1255, 1820, 2102, 2573, 2983],
    "simclr": [0.5, 2.5, 7.7, 34.6, 58.6, 81.6, 90.6, 94.1],
    "vicreg": [83, 236, 514, 1069, 1722, 2480, 3055, 3527, 4413, 4722],
}
#: Loss on the plateau of k modes, by k.
LOSS = {
    "barlow_twins": dict(
        enumerate([512.0, 511.0, 510.0, 509.05, 508.15, 507.2, 506.3, 505.3, 504.4, 503.55, 502.6])
    ),
    "simclr": {0: 11.1, 3: 8.0, 4: 7.15, 5: 6.4, 6: 6.0, 8: 5.45},
    "vicreg": dict(enumerate([49.5, 37.2, 34.1, 31.6, 29.9, 28.4, 27.0, 25.9, 25.0, 24.0, 22.5])),
}
#: Highest eigenvalue while it is the only one of VICReg.
FIRST_EIGENVALUE = 16.3
#: Largest and smallest of the learnt eigenvalues at the end.
LAST_EIGENVALUES = {"barlow_twins": (1.30, 0.53), "simclr": (0.16, 0.095), "vicreg": (8.4, 6.0)}
