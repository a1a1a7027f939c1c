"""Images as uint8 tensors, with their labels and the hash of the files they came from.

``digits`` is included (scikit-learn's 1,797 handwritten digits). ``cifar10``, ``stl10`` and ``imagenette`` are
torchvision's, fetched once by ``ssltheory data fetch``. Anything else is a path, or the bare name of something
in the data folder: an image folder, a tar of one, or an ``.npz``. No data set is ever replaced by another.
"""

import difflib
import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import platformdirs
import torch
from PIL import Image
from torch import Tensor

from ssltheory.errors import InputError, RunError
from ssltheory.progress import track

SPLITS = {"train": "train", "test": "test", "val": "test", "valid": "test", "validation": "test"}
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
TORCHVISION = {
    "cifar10": "cifar-10-batches-py",
    "stl10": "stl10_binary",
    "imagenette": "imagenette2-160",
}
IMAGENETTE_IMAGES = 13_394  # torchvision verifies the archive, not the unpacked files
ARCHIVE = re.compile(r"\.(tar|tar\.\w+|tgz)$")
#: Pillow's readers for the suffixes above, and for GIF, which often hides behind one of them; never Ghostscript's.
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: For each array of an ``.npz``: its name, the kinds of dtype allowed, and the rule in words.
NPZ_KINDS = (
    ("y", "iu", "labels must be integers"),
    ("index", "iu", "places in CIFAR's order must be integers"),
    ("split", "SU", "the splits' names must be text"),
)
CIFAR_TRAIN = 50_000  # an ``index`` at or above this is a test image, in CIFAR's order
TEST_SHARE = 0.2  # test images of a data set that comes without a split


@dataclass(frozen=True)
class Images:
    """Images on one device.

    Attributes:
        x: uint8 ``(n, c, h, w)``, 0–255.
        y: int64 ``(n,)`` labels; −1 where there is none.
        name: of the data set, never a path.
        sha256: of all files of the data set, even if only a part of it was loaded.
    """

    x: Tensor
    y: Tensor
    name: str
    sha256: str

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> "Images":
        """The same images on another device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device))


@dataclass(frozen=True)
class Source:
    """A data set that was found and inspected; its pixels are not read yet.

    Attributes:
        name: of the data set, never a path.
        sha256: of its file or files.
        labels: int64 ``(n,)``.
        splits: ``(n,)`` strings, or None if the data set has no split of its own.
        shape: ``(c, h, w)`` of every image, or None if they differ in size.
        read: indices -> list of uint8 ``(h, w, c)`` arrays.
    """

    name: str
    sha256: str
    labels: np.ndarray
    splits: np.ndarray | None
    shape: tuple[int, int, int] | None
    read: Callable[[np.ndarray], list[np.ndarray]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str, seed: int = 0) -> np.ndarray:
        """Indices of the images of a split, rising. A data set without splits is split 80 : 20 by the seed.

        Raises:
            InputError: for a split that the data set does not have.
        """
        splits = self.splits
        if splits is None:
            order = np.random.default_rng(seed).permutation(len(self))
            splits = np.full(len(self), "train", dtype="<U16")
            splits[order[: round(TEST_SHARE * len(self))]] = "test"
        if split == "all":
            return np.arange(len(self))
        known = sorted(set(splits.tolist()) - {""})  # "": an image beside the folders of the splits
        for part in split.split("+"):
            if part not in known:
                raise InputError(
                    f"{self.name} has no split {part!r}: choose one of {', '.join([*known, 'all'])}"
                )
        return np.flatnonzero(np.isin(splits, split.split("+")))


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
                f"{source.name} has {len(index)} images in split {split!r}: n must lie between 1 and that, got {n}"
            )
        index = np.random.default_rng(seed).permutation(index)[:n]
    pixels = source.read(index)
    if resolution is not None:
        pixels = [_resize(image, resolution) for image in pixels]
    elif len({image.shape[:2] for image in pixels}) > 1:
        raise InputError(f"the images of {source.name} differ in size: give a resolution")
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Images(x, torch.from_numpy(source.labels[index]), source.name, source.sha256)


def find(name_or_path: str | os.PathLike) -> Source:
    """Find a data set and inspect it: every header is read, but no pixel is decoded.

    Raises:
        InputError: if it is unknown, missing or damaged.
    """
    name = os.fspath(name_or_path)
    if name == "digits":
        return _digits()
    if name in TORCHVISION:
        return _torchvision(name)
    path = Path(os.path.expanduser(name))
    there = os.path.exists(path)  # unlike Path.exists, False for any text that cannot be a path
    if not there and path.name == name and name:
        return _in_folder(name)
    if not name or not there:
        raise InputError(
            f"no data at {name!r}: give the path of an image folder, a tar of one, or an .npz, "
            f"or one of digits, {', '.join(TORCHVISION)}"
        )
    if path.is_dir():
        return _image_folder(path)
    if path.suffix == ".npz" and path.is_file():
        return _npz(path)
    if path.is_file() and (ARCHIVE.search(path.name) or _is_tar(path)):
        return _tars(_stem(path), *_stamped([path]))
    raise InputError(f"{path.name} is neither an .npz, a tar nor a folder of images: give one")


def folder() -> Path:
    """Where data sets are kept: ``SSLTHEORY_DATA``, or the user's cache."""
    given = os.environ.get("SSLTHEORY_DATA")
    if given:
        return Path(os.path.expanduser(given))
    return platformdirs.user_cache_path("ssltheory") / "data"


def read_npz(blob: bytes) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz``, by name. Pickled objects are refused and never opened.

    Args:
        blob: the file's bytes.

    Raises:
        ValueError: for a damaged file, one too large for the memory, or one that holds anything but arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            _check_memory(sum(member.file_size for member in archive.infolist()))
        with np.lib.npyio.NpzFile(io.BytesIO(blob), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # what zipfile, zlib, numpy and its tokenizer make of damage
        raise ValueError(str(error) or type(error).__name__) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name!r} is no array")
    return arrays


def names() -> list[str]:
    """The names that ``load`` understands now: those built in, and those found in the data folder."""
    found = {_whole(path) for path in _candidates()}
    return ["digits", *TORCHVISION, *sorted(found - set(TORCHVISION))]


def fetch(name: str) -> Source:
    """Download one of torchvision's data sets into the data folder, with its checksum verified.

    Raises:
        InputError: if there is nothing to fetch under that name.
        RunError: if the download fails or is damaged; no incomplete data set is left to be used.
    """
    if name == "digits":
        return _digits()
    if name not in TORCHVISION:
        raise InputError(f"nothing to fetch for {name!r}: choose one of {', '.join(TORCHVISION)}")
    try:
        _torchvision_parts(name, download=True)
    except (
        Exception
    ) as error:  # torchvision raises URLError, RuntimeError, OSError, EOFError, tarfile errors
        raise RunError(
            f"{name} could not be fetched into {folder()}: {error}. Try again; if it fails at once, "
            f"download it by hand into that folder, in torchvision's layout"
        ) from error
    return _torchvision(name)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    sha256 = hashlib.sha256(pixels.tobytes() + digits.target.astype(np.int64).tobytes()).hexdigest()
    return Source(
        "digits", sha256, digits.target.astype(np.int64), None, (1, 8, 8), lambda i: list(pixels[i])
    )


def _torchvision_parts(name: str, download: bool) -> list[tuple[str, Any]]:
    from torchvision import datasets

    root = str(folder())
    if name == "cifar10":
        make = lambda split: datasets.CIFAR10(root, train=split == "train", download=download)  # noqa: E731
        splits = ["train", "test"]
    elif name == "stl10":
        make = lambda split: datasets.STL10(root, split=split, download=download)  # noqa: E731
        splits = ["train", "test", "unlabeled"]
    else:
        make = lambda split: datasets.Imagenette(root, split=split, size="160px", download=download)  # noqa: E731
        splits = ["train", "val"]
    parts = []
    for split in splits:
        try:
            parts.append((SPLITS.get(split, split), make(split)))
        except RuntimeError as error:
            if download and "already exists" in str(
                error
            ):  # torchvision's Imagenette, fetched before
                download = False
                parts.append((SPLITS.get(split, split), make(split)))
            else:
                raise
    return parts


def _torchvision(name: str) -> Source:
    try:
        parts = _torchvision_parts(name, download=False)
    except Exception as error:  # whatever torchvision meets in a missing or damaged file
        kept = folder() / TORCHVISION[name]
        remedy = f"run `ssltheory data fetch {name}`"
        if kept.exists():
            raise InputError(f"{name} is damaged: remove {kept} and {remedy} ({error})") from error
        raise InputError(
            f"{name} is not in {folder()}: {remedy}, or set SSLTHEORY_DATA to the folder that holds it"
        ) from error
    splits = np.concatenate([np.full(len(part), split, dtype="<U16") for split, part in parts])
    sha256 = hashlib.sha256()
    if name == "imagenette":
        files = [(Path(file), label) for _, part in parts for file, label in part._samples]
        if len(files) != IMAGENETTE_IMAGES:
            raise InputError(
                f"imagenette is incomplete ({len(files):,} of {IMAGENETTE_IMAGES:,} images): "
                f"remove {folder() / TORCHVISION[name]} and run `ssltheory data fetch imagenette`"
            )
        labels = np.array([label for _, label in files], dtype=np.int64)
        read = lambda index: [_decode(files[i][0].read_bytes(), files[i][0].name) for i in index]  # noqa: E731
        shape = None
        for file, _ in files:
            sha256.update(file.name.encode() + file.read_bytes())
    else:
        arrays = [
            part.data if name == "cifar10" else part.data.transpose(0, 2, 3, 1) for _, part in parts
        ]
        targets = [part.targets if name == "cifar10" else part.labels for _, part in parts]
        pixels = np.concatenate(arrays)
        labels = np.concatenate([np.asarray(t, dtype=np.int64) for t in targets])
        read = lambda index: list(pixels[index])  # noqa: E731
        shape = (3, *pixels.shape[1:3])
        sha256.update(pixels.tobytes() + labels.tobytes())
    return Source(name, sha256.hexdigest(), labels, splits, shape, read)


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
        if ARCHIVE.search(path.name) and name in (_stem(path), _whole(path))
    ]
    if tars:
        return _tars(name, *_stamped(tars))
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise InputError(
        f"unknown data set {name!r}{hint} Known here: {', '.join(names())}; or give the path of a folder of "
        f"images, a tar of one, or an .npz, or put it into SSLTHEORY_DATA"
    )


def _candidates() -> list[Path]:
    """The folders, tars and ``.npz`` files in the data folder that may be the reader's data sets; not torchvision's."""
    base = folder()
    listing = sorted(base.iterdir()) if base.is_dir() else []
    own = {*TORCHVISION.values(), "cifar-10-python"}
    return [
        path
        for path in listing
        if (path.is_dir() or path.suffix == ".npz" or ARCHIVE.search(path.name))
        and _stem(path) not in own
        and not path.name.startswith(".")
    ]


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except Exception:  # what tarfile makes of damage
        return False


def _stem(path: Path) -> str:
    """``cifar10-jpeg-train.tar.xz`` -> ``cifar10-jpeg-train``; a folder's name does not change."""
    return path.name if path.is_dir() else ARCHIVE.sub("", path.name).removesuffix(".npz")


def _whole(path: Path) -> str:
    """``cifar10-jpeg-train.tar.xz`` -> ``cifar10-jpeg``: the data set that a tar is a part of, else its own name."""
    part = rf"-({'|'.join(SPLITS)})(-\w)?$"
    return re.sub(part, "", _stem(path)) if ARCHIVE.search(path.name) else _stem(path)


def _npz(path: Path) -> Source:
    try:
        blob = path.read_bytes()
        parts = read_npz(blob)
    except (OSError, MemoryError, ValueError) as error:
        raise InputError(
            f"{path.name} is damaged or not an .npz ({error}): make or copy it again"
        ) from error
    if "x" not in parts:
        raise InputError(
            f"{path.name} has no array 'x' (it has {', '.join(parts) or 'none'}): "
            f"save the images as x, uint8 (n, h, w) or (n, h, w, c)"
        )
    x = parts["x"]
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or 0 in x.shape:
        raise InputError(
            f"'x' in {path.name} is {x.dtype} {x.shape}: it must be uint8 (n, h, w) or (n, h, w, c), not empty"
        )
    x = x[..., None] if x.ndim == 3 else x
    if x.shape[-1] not in (1, 3):
        raise InputError(
            f"'x' in {path.name} has {x.shape[-1]} channels: the last axis must be 1 or 3"
        )
    for key, kinds, what in NPZ_KINDS:
        if key in parts and parts[key].dtype.kind not in kinds:
            raise InputError(f"{key!r} in {path.name} is {parts[key].dtype}: {what}")
    splits = None
    if "split" in parts:
        try:
            words = parts["split"].ravel().astype(str)
        except UnicodeDecodeError as error:
            raise InputError(f"'split' in {path.name} is not ASCII: save it as text") from error
        splits = np.array([SPLITS.get(word, word) for word in words])
    elif "index" in parts:
        splits = np.where(parts["index"].ravel() < CIFAR_TRAIN, "train", "test")
    labels = parts.get("y", np.full(len(x), -1)).ravel()
    for key, values in (("y", labels), ("split or index", splits)):
        if values is not None and len(values) != len(x):
            raise InputError(f"{path.name} has {len(x)} images but {len(values)} entries of {key}")
    if (labels > np.iinfo(np.int64).max).any():
        raise InputError(f"'y' in {path.name} is beyond 64 bits: labels must be smaller integers")
    c, h, w = x.shape[3], x.shape[1], x.shape[2]
    sha256 = hashlib.sha256(blob).hexdigest()
    return Source(
        _stem(path), sha256, labels.astype(np.int64), splits, (c, h, w), lambda i: list(x[i])
    )


def _check_memory(size: int) -> None:
    """Raise MemoryError for more bytes than this machine has: a megabyte of archive can unpack to a terabyte."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise MemoryError(
            f"it unpacks to {size / 1e9:,.0f} GB, the memory here is {memory / 1e9:,.0f} GB"
        )


def _image_folder(path: Path) -> Source:
    files = sorted(
        file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES
    )
    try:
        _check_memory(sum(file.stat().st_size for file in files))
        blobs = [file.read_bytes() for file in files]
    except OSError as error:
        raise InputError(
            f"{error.filename} cannot be read ({error.strerror}): repair or remove it"
        ) from error
    except MemoryError as error:
        raise InputError(f"{path} holds too much ({error}): take fewer images") from error
    members = [file.relative_to(path).as_posix() for file in files]
    digest = hashlib.sha256()
    for member, blob in zip(members, blobs, strict=True):
        digest.update(os.fsencode(member) + hashlib.sha256(blob).digest())
    return _images(Path(os.path.abspath(path)).name, digest.hexdigest(), members, blobs)


def _stamped(paths: list[Path]) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    return tuple(paths), tuple(path.stat().st_mtime_ns for path in paths)


@lru_cache(maxsize=1)  # so that each seed of a repetition does not unpack 60,000 images again
def _tars(name: str, paths: tuple[Path, ...], modified: tuple[int, ...]) -> Source:
    members, blobs, hashes = [], [], []
    size = 0
    for path in paths:
        try:
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
            with tarfile.open(path) as tar:
                for member in tar:  # read one by one: nothing is unpacked to the disk
                    inner = PurePosixPath(member.name)
                    if inner.is_absolute() or ".." in inner.parts:
                        raise InputError(
                            f"{member.name} in {path.name} leads out of it: pack a folder by its own name"
                        )
                    if inner.suffix.lower() not in IMAGE_SUFFIXES:
                        continue
                    if not member.isfile():
                        raise InputError(
                            f"{member.name} in {path.name} is no plain file: pack the images themselves"
                        )
                    size += member.size
                    _check_memory(size)
                    members.append(member.name)
                    blobs.append(tar.extractfile(member).read())  # type: ignore[union-attr]
        except InputError:
            raise
        except Exception as error:  # what tarfile and its decompressors make of damage
            why = f" ({error})" if isinstance(error, OSError | MemoryError) else ""
            raise InputError(f"{path.name} is damaged or no tar{why}: copy it again") from error
    order = sorted(range(len(members)), key=members.__getitem__)
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return _images(name, sha256, [members[i] for i in order], [blobs[i] for i in order])


def _images(name: str, sha256: str, members: list[str], blobs: list[bytes]) -> Source:
    """A source from encoded images; split and class come from the folders of each, ``[…/]train/class/…``."""
    if not members:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"no images in {name}: it must hold files ending in one of {suffixes}")
    splits, classes, sizes = [], [], set()
    for member, blob in zip(members, blobs, strict=True):
        parents = PurePosixPath(member).parts[:-1]
        at = next((i for i, part in enumerate(parents) if part.lower() in SPLITS), None)
        splits.append("" if at is None else SPLITS[parents[at].lower()])
        below = parents if at is None else parents[at + 1 :]
        classes.append(below[-1] if below else "")
        try:
            with Image.open(io.BytesIO(blob), formats=IMAGE_FORMATS) as image:
                sizes.add((image.height, image.width))
        except Exception as error:  # what Pillow's readers make of damage
            raise InputError(
                f"{member} in {name} is not an image that can be read: repair or remove it"
            ) from error
    known = sorted(set(classes))
    labels = (
        np.array([known.index(c) for c in classes]) if len(known) > 1 else np.full(len(classes), -1)
    )
    shape = (3, *next(iter(sizes))) if len(sizes) == 1 else None

    def read(index: np.ndarray) -> list[np.ndarray]:
        with track(len(index), f"reading {name}", unit="images") as bar:
            images = []
            for i in index:
                images.append(_decode(blobs[i], members[i]))
                bar.update()
        return images

    return Source(
        name,
        sha256,
        labels.astype(np.int64),
        np.array(splits) if any(splits) else None,
        shape,
        read,
    )


def _decode(blob: bytes, member: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(blob), formats=IMAGE_FORMATS) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # what Pillow's readers make of damage
        raise InputError(f"{member} is damaged ({error}): repair or remove it") from error


def _resize(image: np.ndarray, resolution: int) -> np.ndarray:
    h, w, c = image.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = image[top : top + side, left : left + side]
    picture = Image.fromarray(square[..., 0] if c == 1 else square)
    resized = np.asarray(picture.resize((resolution, resolution), Image.Resampling.BILINEAR))
    return resized[..., None] if c == 1 else resized
