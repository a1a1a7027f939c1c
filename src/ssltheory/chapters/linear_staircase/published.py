"""What the authors' figure of the linear staircase shows: ten step times, measured and foreseen, and ten γ.

Read off the file of Figure 1 A, B of simon2023stepwise as its authors show it on their pages; no table has them. d = 10
and the step times are digitised (FIGURE). The γ are the slopes of theory's curves over 8, and α = 1e-7 is where these
begin (DERIVED). It is one draw of images, crops and weights; 500 images and 20×20 crops, says the caption.
"""

import numpy as np

from ssltheory.book.parameters import Settings

SOURCE = "simon2023stepwise, Figure 1 A, B, digitised"
#: Times t = learning rate × step at which the loss comes down (dots) and should (dashes), by mode.
STEP_TIMES = np.array(
    [0.00784, 0.0247, 0.0383, 0.0412, 0.0895, 0.1324, 0.1604, 0.1751, 0.2118, 0.2501]
)
STEP_TIMES_FORESEEN = np.array(
    [0.00764, 0.0251, 0.0391, 0.0415, 0.0886, 0.1308, 0.1555, 0.1735, 0.2151, 0.2497]
)
#: Eigenvalues of Γ, and how far they may be misread, as a fraction.
GAMMA = np.array([389, 125, 82.4, 78.3, 37.6, 26.0, 22.2, 20.1, 16.8, 14.75])
GAMMA_ERROR = np.array([0.02, 0.02, 0.04, 0.04, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02])
#: Images, says the caption.
N_IMAGES = 500
#: What the figure settles. Its pixels and its overlap of crops it does not, and the number of images it contradicts.
SETTING = {"dataset": "cifar10", "crop": 20, "dim": 10, "init_scale": 1e-7}


def comparable(parameters: Settings) -> bool:
    """Whether a run has the settings of the published one, as far as its figure and caption settle them.

    Examples:
        >>> from ssltheory.chapters.linear_staircase import Parameters
        >>> comparable(Parameters(dataset="cifar10", crop=20)), comparable(Parameters())
        (True, False)
    """
    return all(getattr(parameters, name) == value for name, value in SETTING.items())
