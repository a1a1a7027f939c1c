"""Random augmentations of a batch on its device: one independent draw for each image.

Every function takes images ``(n, c, h, w)``, floating point in [0, 1] (uint8 is divided by 255
first), and the random ones a ``generator`` of the images' device (None: torch's global one). They
loop over no image and never wait for the device. Parameters drawn for each image are ``(n,)``
tensors; an image that an augmentation passes by (probability 1 − p) gets the parameter that
changes nothing.

Crop and flip are R x Cᵀ, with a matrix R for the rows of an image and C for its columns. Colours and
blur are torchvision's at a fixed parameter.
"""

from ssltheory.augmentations.blur import gaussian_blur, random_gaussian_blur
from ssltheory.augmentations.checks import Range
from ssltheory.augmentations.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    normalize,
    random_greyscale,
)
from ssltheory.augmentations.geometry import (
    random_boxes,
    random_crop,
    random_horizontal_flip,
    random_resized_crop,
    resized_crop,
)
from ssltheory.augmentations.views import TwoViews

__all__ = [
    "Range",
    "TwoViews",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "color_jitter",
    "gaussian_blur",
    "normalize",
    "random_boxes",
    "random_crop",
    "random_gaussian_blur",
    "random_greyscale",
    "random_horizontal_flip",
    "random_resized_crop",
    "resized_crop",
]
