"""Images as uint8 tensors, with labels beside them and the hash of where they came from.

``digits`` is embedded (scikit-learn's 1,797 handwritten digits). ``cifar10``, ``stl10`` and ``imagenette`` are
torchvision's, fetched once by ``ssltheory data fetch``; CIFAR-10's official binary version is read, too. Anything
else is a path, or the bare name of something in the data folder: an image folder, a tar of one, or an ``.npz``. No data
set is ever replaced by another.
"""

import difflib
import os
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ssltheory.data import files, official
from ssltheory.data.files import read_npz
from ssltheory.data.official import fetch
from ssltheory.data.source import SPLITS, Images, Source, folder
from ssltheory.errors import InputError

__all__ = [
    "Images",
    "Source",
    "fetch",
    "find",
    "folder",
    "load",
    "names",
    "read_npz",
    "training_split",
]


def load(
    name_or_path: str | os.PathLike,
    split: str = "train",
    n: int | None = None,
    resolution: int | None = None,
    seed: int = 0,
) -> Images:
    """Load images.

    Args:
        name_or_path: ``digits``, ``cifar10``, ``stl10``, ``imagenette``, a path, or a name in the data folder.
        split: ``train``, ``test``, ``all``, or two joined by ``+`` (STL-10 also has ``unlabeled``).
        n: number of images, drawn without replacement, in the order of the draw; None: all, in the data set's order.
        resolution: side in pixels of the central square, resized (bilinear, antialiased); None: not resized.
        seed: of the draw, and of the split if the data set has none.

    Returns:
        ``Images`` on the CPU.

    Raises:
        InputError: for a data set that is unknown, missing or damaged, a split that it lacks, an n that is too
            large, or images of different sizes without a resolution.
    """
    if resolution is not None and resolution < 1:
        raise InputError(f"resolution={resolution}: give a side of at least one pixel")
    source = find(name_or_path)
    index = source.indices(split, seed)
    if n is not None:
        if not 1 <= n <= len(index):
            raise InputError(
                f"n={n}: {source.name} has {len(index)} images in split {split!r}, take 1 to {len(index)}"
            )
        index = np.random.default_rng(seed).permutation(index)[:n]
    pixels = source.read(index)
    if resolution is not None:
        pixels = [_resize(image, resolution) for image in pixels]
    elif len({image.shape[:2] for image in pixels}) > 1:
        raise InputError(f"the images of {source.name} differ in size: give a resolution, e.g. 96")
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Images(x, torch.from_numpy(source.labels[index]), source.name, source.sha256)


def find(name_or_path: str | os.PathLike) -> Source:
    """Find a data set and inspect it: every header is read, but no pixel is decoded.

    Raises:
        InputError: if it is unknown, missing or damaged.
    """
    name = os.fspath(name_or_path)
    if name in official.NAMES:
        return official.find(name)
    path = Path(os.path.expanduser(name))
    there = os.path.exists(path)  # unlike Path's, False for whatever can be no path
    if not there and path.name == name and name:
        return _in_folder(name)
    if not name or not there:
        raise InputError(
            f"no data at {name!r}: give the path of an image folder, a tar of one, or an .npz, "
            f"or one of {', '.join(official.NAMES)}"
        )
    if path.is_dir():
        return files.image_folder(path)
    if path.suffix == ".npz" and path.is_file():
        return files.npz(path)
    if path.is_file() and (files.ARCHIVE.search(path.name) or files.is_tar(path)):
        return files.tars(files.stem(path), [path])
    raise InputError(f"{path.name} is neither an .npz, a tar nor a folder of images: give one")


def training_split(dataset: str) -> str:
    """The split to train on without labels, by a data set's name: STL-10 keeps most of its images unlabelled."""
    return "train+unlabeled" if dataset == "stl10" else "train"


def names() -> list[str]:
    """The names that ``load`` understands now: those built in, and those found in the data folder."""
    candidates = {_whole(path) for path in _candidates()}
    return [*official.NAMES, *sorted(candidates - set(official.NAMES))]


def _in_folder(name: str) -> Source:
    """A bare name: ``NAME`` itself, ``NAME.npz``, ``NAME.tar…`` or several ``NAME-….tar…`` in the data folder.

    Raises:
        InputError: if there is none of these.
    """
    for path in (folder() / name, folder() / f"{name}.npz"):
        if os.path.exists(path):
            return find(path)
    tars = [
        path
        for path in _candidates()
        if files.ARCHIVE.search(path.name) and name in (files.stem(path), _whole(path))
    ]
    if tars:
        return files.tars(name, tars)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise InputError(
        f"unknown data set {name!r}{hint} Known here: {', '.join(names())}; or give the path of a folder of "
        f"images, a tar of one, or an .npz, or put it into SSLTHEORY_DATA"
    )


def _candidates() -> list[Path]:
    """What in the data folder may be a data set of the reader's: folders, tars, ``.npz``; not the official sets."""
    base = folder()
    listing = sorted(base.iterdir()) if base.is_dir() else []
    return [
        path
        for path in listing
        if (path.is_dir() or path.suffix == ".npz" or files.ARCHIVE.search(path.name))
        and files.stem(path) not in official.STEMS
        and not path.name.startswith(".")
    ]


def _whole(path: Path) -> str:
    """``pets-train.tar.xz`` -> ``pets``: what a tar is a part of; else its own name."""
    part = rf"-({'|'.join(SPLITS)})(-\w)?$"
    return (
        re.sub(part, "", files.stem(path)) if files.ARCHIVE.search(path.name) else files.stem(path)
    )


def _resize(image: np.ndarray, resolution: int) -> np.ndarray:
    h, w, c = image.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = image[top : top + side, left : left + side]
    picture = Image.fromarray(square[..., 0] if c == 1 else square)
    resized = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BILINEAR))
    return resized[..., None] if c == 1 else resized
