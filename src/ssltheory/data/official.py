"""``digits``, which scikit-learn brings, and the published sets in their published files, checked by their sums."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ssltheory.data.files import decode
from ssltheory.data.source import SPLITS, Source, folder
from ssltheory.errors import InputError, RunError

TORCHVISION = {
    "cifar10": "cifar-10-batches-py",
    "stl10": "stl10_binary",
    "imagenette": "imagenette2-160",
}
CIFAR10_BINARY = "cifar-10-batches-bin"
#: Published MD5 sums of the binary version's batches, in the order of the images; the last is the test set.
CIFAR10_MD5 = {
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
NAMES = ("digits", *TORCHVISION)
#: What is called so in the data folder, but for a suffix, is an official set's.
STEMS = {*TORCHVISION.values(), CIFAR10_BINARY, "cifar-10-python", "cifar-10-binary"}
IMAGENETTE_IMAGES = 13_394  # torchvision verifies the archive, not what was unpacked


def find(name: str) -> Source:
    """A set of ``NAMES``; ``cifar10`` in the python version or the binary one, whichever is whole.

    Raises:
        InputError: if it is missing, incomplete or damaged.
    """
    if name == "digits":
        return _digits()
    try:
        return _torchvision(name)
    except InputError:
        if name != "cifar10" or not (folder() / CIFAR10_BINARY).exists():
            raise
        return _cifar10_binary()


def fetch(name: str) -> Source:
    """Download one of torchvision's data sets into the data folder, with its checksum verified, unless it is there.

    Raises:
        InputError: if there is nothing to fetch under that name.
        RunError: if the download fails or what came is damaged; nothing half-done is left to be used.
    """
    if name not in NAMES:
        raise InputError(f"nothing to fetch for {name!r}: choose one of {', '.join(TORCHVISION)}")
    try:
        return find(name)
    except InputError:  # not there, or damaged
        pass
    try:
        _torchvision_parts(name, download=True)
    except Exception as error:  # URLError, RuntimeError, OSError, EOFError, tarfile's
        raise RunError(
            f"{name} could not be fetched into {folder()}: {error}. Try again; if it fails at once, "
            f"download it by hand into that folder, in torchvision's layout"
        ) from error
    return find(name)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    sha256 = hashlib.sha256(pixels.tobytes() + digits.target.astype(np.int64).tobytes()).hexdigest()
    return Source(
        "digits", sha256, digits.target.astype(np.int64), None, (1, 8, 8), lambda i: list(pixels[i])
    )


def _torchvision(name: str) -> Source:
    path = folder() / TORCHVISION[name]
    try:
        parts = _torchvision_parts(name, download=False)
    except Exception as error:  # whatever torchvision meets in a missing or damaged file
        if path.exists():
            raise _damaged(name, path, _fault(path, _sums(name)) or str(error)) from error
        raise InputError(
            f"{name} is not in {folder()}: run `ssltheory data fetch {name}`, "
            f"or set SSLTHEORY_DATA to the folder that holds it"
        ) from error
    if name == "imagenette":
        return _imagenette(parts)
    if name == "cifar10":
        return _arrays(name, [(s, part.data, part.targets) for s, part in parts], "python version")
    return _arrays(name, [(s, p.data.transpose(0, 2, 3, 1), p.labels) for s, p in parts])


def _torchvision_parts(name: str, download: bool) -> list[tuple[str, Any]]:
    """Split and torchvision's data set of each part."""
    from torchvision import datasets

    root = str(folder())
    if name == "cifar10":
        return [
            (split, datasets.CIFAR10(root, train=split == "train", download=download))
            for split in ("train", "test")
        ]
    if name == "stl10":
        return [
            (split, datasets.STL10(root, split=split, download=download))
            for split in ("train", "test", "unlabeled")
        ]
    return [
        (SPLITS[split], datasets.Imagenette(root, split=split, size="160px", download=download))
        for split in ("train", "val")
    ]


def _cifar10_binary() -> Source:
    """CIFAR-10's binary version: a row an image, its label and then the red, green and blue plane."""
    path = folder() / CIFAR10_BINARY
    if fault := _fault(path, CIFAR10_MD5):
        raise _damaged("cifar10", path, fault)
    parts = []
    for name in CIFAR10_MD5:
        rows = np.fromfile(path / name, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        parts.append(("test" if name == "test_batch.bin" else "train", pixels, rows[:, 0]))
    return _arrays("cifar10", parts, "binary version")


def _arrays(name: str, parts: list[tuple[str, np.ndarray, Any]], version: str = "") -> Source:
    """A source from the splits, pixels ``(n, h, w, c)`` and labels of its parts, hashed as they are, not as files."""
    pixels = np.ascontiguousarray(np.concatenate([x for _, x, _ in parts]))
    labels = np.concatenate([np.asarray(y, dtype=np.int64) for _, _, y in parts])
    splits = np.concatenate([np.full(len(x), split, dtype="<U16") for split, x, _ in parts])
    sha256 = hashlib.sha256(pixels.ravel().data)
    sha256.update(labels.data)
    shape = (3, *pixels.shape[1:3])
    digest = sha256.hexdigest()
    return Source(name, digest, labels, splits, shape, lambda i: list(pixels[i]), version)


def _imagenette(parts: list[tuple[str, Any]]) -> Source:
    files = [(Path(file), label) for _, part in parts for file, label in part._samples]
    if len(files) != IMAGENETTE_IMAGES:
        path = folder() / TORCHVISION["imagenette"]
        raise _damaged("imagenette", path, f"{len(files):,} of {IMAGENETTE_IMAGES:,} images")
    labels = np.array([label for _, label in files], dtype=np.int64)
    splits = np.concatenate([np.full(len(part), split, dtype="<U16") for split, part in parts])
    sha256 = hashlib.sha256()
    for file, _ in files:
        sha256.update(file.name.encode() + file.read_bytes())

    def read(index: np.ndarray) -> list[np.ndarray]:
        return [decode(files[i][0].read_bytes(), files[i][0].name) for i in index]

    return Source("imagenette", sha256.hexdigest(), labels, splits, None, read)


def _sums(name: str) -> dict[str, str]:
    """Published MD5 sums of torchvision's files, none for Imagenette: those are of its archive alone."""
    from torchvision import datasets

    if name == "imagenette":
        return {}
    if name == "stl10":
        return dict(datasets.STL10.train_list + datasets.STL10.test_list)
    cifar10 = datasets.CIFAR10
    names = [cifar10.meta["filename"], cifar10.meta["md5"]]
    return dict([*cifar10.train_list, *cifar10.test_list, names])


def _fault(kept: Path, sums: dict[str, str]) -> str | None:
    """What is wrong with the first file that is not as published; None if nothing is."""
    for name, md5 in sums.items():
        try:
            with open(kept / name, "rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read, {error.strerror}"
        if digest.hexdigest() != md5:
            return f"{name} does not have its published MD5 sum"
    return None


def _damaged(name: str, kept: Path, fault: str) -> InputError:
    return InputError(
        f"{name} is damaged or incomplete ({fault}): remove {kept} and run `ssltheory data fetch {name}`"
    )
