"""Images as uint8 tensors, with labels beside them and the hash of where they came from.

``digits`` is embedded (scikit-learn's 1,797 handwritten digits). ``cifar10``, ``stl10`` and ``imagenette`` are
torchvision's, fetched once by ``ssltheory data fetch``; CIFAR-10's official binary version is read, too. Anything
else is a path, or the bare name of something in the data folder: an image folder, a tar of one, or an ``.npz``. No data
set is ever replaced by another.
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
IMAGENETTE_IMAGES = 13_394  # torchvision verifies the archive, not what was unpacked
ARCHIVE = re.compile(r"\.(tar|tar\.\w+|tgz)$")
#: Pillow's readers of what the suffixes promise, and of the GIF that often lies behind one; never Ghostscript's.
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: Of an ``.npz``: array, kinds of its dtype, what it must be.
NPZ_KINDS = (
    ("y", "iu", "labels must be integers"),
    ("index", "iu", "places in CIFAR's order must be integers"),
    ("split", "SU", "the splits' names must be text"),
)
CIFAR_TRAIN = 50_000  # an ``index`` at or above this is a test image, in CIFAR's order
TEST_SHARE = 0.2  # of a data set that comes without a split


@dataclass(frozen=True)
class Images:
    """Images on one device.

    Attributes:
        x: uint8 ``(n, c, h, w)``, 0–255.
        y: int64 ``(n,)`` labels; −1 where there is none.
        name: of the data set, never a path.
        sha256: of the data set's file or files as a whole, whichever part of it was loaded.
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
    """A data set that was found and looked through, its pixels not yet read.

    Attributes:
        name: of the data set, never a path.
        sha256: of its file or files.
        labels: int64 ``(n,)``.
        splits: ``(n,)`` strings, or None where the data set has no split of its own.
        shape: ``(c, h, w)`` of every image, or None where they differ in size.
        read: indices -> list of uint8 ``(h, w, c)`` arrays.
        version: which of the official versions was found, empty where there is only one.
    """

    name: str
    sha256: str
    labels: np.ndarray
    splits: np.ndarray | None
    shape: tuple[int, int, int] | None
    read: Callable[[np.ndarray], list[np.ndarray]] = field(repr=False)
    version: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str, seed: int = 0) -> np.ndarray:
        """Places of the images of a split, rising. A data set without one is split 80 : 20 by the seed.

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
        n: how many, drawn without replacement in the order of the draw; None: all, in the data set's order.
        resolution: side in pixels: the central square, resized (bilinear, antialiased); None: as they are.
        seed: of the draw, and of the split where the data set has none.

    Returns:
        ``Images`` on the CPU.

    Raises:
        InputError: for a data set that is unknown, missing or damaged, a split that it lacks, or too large an n.
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
    """Find a data set and look it through: every header is read, no pixel decoded.

    Raises:
        InputError: if it is unknown, missing or damaged.
    """
    name = os.fspath(name_or_path)
    if name == "digits":
        return _digits()
    if name in TORCHVISION:
        return _official(name)
    path = Path(os.path.expanduser(name))
    there = os.path.exists(path)  # unlike Path's, False for whatever can be no path
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
    """The arrays of an ``.npz``, by name. What is pickled is refused, never opened.

    Args:
        blob: the file's bytes.

    Raises:
        ValueError: naming what is wrong with it.
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
    """The names that ``load`` understands here and now: built in, and found in the data folder."""
    found = {_whole(path) for path in _candidates()}
    return ["digits", *TORCHVISION, *sorted(found - set(TORCHVISION))]


def fetch(name: str) -> Source:
    """Download one of torchvision's data sets into the data folder, with its checksum verified, unless it is there.

    Raises:
        InputError: if there is nothing to fetch under that name.
        RunError: if the download fails or what came is damaged; nothing half-done is left to be used.
    """
    if name == "digits":
        return _digits()
    if name not in TORCHVISION:
        raise InputError(f"nothing to fetch for {name!r}: choose one of {', '.join(TORCHVISION)}")
    try:
        return _official(name)
    except InputError:  # not there, or damaged
        pass
    try:
        _torchvision_parts(name, download=True)
    except (
        Exception
    ) as error:  # torchvision's: URLError, RuntimeError, OSError, EOFError, tarfile's
        raise RunError(
            f"{name} could not be fetched into {folder()}: {error}. Try again; if it fails at once, "
            f"download it by hand into that folder, in torchvision's layout"
        ) from error
    return _official(name)


def _digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    sha256 = hashlib.sha256(pixels.tobytes() + digits.target.astype(np.int64).tobytes()).hexdigest()
    return Source(
        "digits", sha256, digits.target.astype(np.int64), None, (1, 8, 8), lambda i: list(pixels[i])
    )


def _official(name: str) -> Source:
    """One of torchvision's data sets; ``cifar10`` in the python version or the binary one, whichever is whole."""
    try:
        return _torchvision(name)
    except InputError:
        if name != "cifar10" or not (folder() / CIFAR10_BINARY).exists():
            raise
        return _cifar10_binary()


def _torchvision(name: str) -> Source:
    kept = folder() / TORCHVISION[name]
    try:
        parts = _torchvision_parts(name, download=False)
    except Exception as error:  # whatever torchvision meets in a missing or damaged file
        if kept.exists():
            raise _damaged(name, kept, _fault(kept, _sums(name)) or str(error)) from error
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
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read, {error.strerror}"
        if found.hexdigest() != md5:
            return f"{name} does not have its published MD5 sum"
    return None


def _damaged(name: str, kept: Path, fault: str) -> InputError:
    return InputError(
        f"{name} is damaged or incomplete ({fault}): remove {kept} and run `ssltheory data fetch {name}`"
    )


def _cifar10_binary() -> Source:
    """CIFAR-10's binary version: a row an image, its label and then the red, green and blue plane."""
    kept = folder() / CIFAR10_BINARY
    if fault := _fault(kept, CIFAR10_MD5):
        raise _damaged("cifar10", kept, fault)
    parts = []
    for name in CIFAR10_MD5:
        rows = np.fromfile(kept / name, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
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
        kept = folder() / TORCHVISION["imagenette"]
        raise _damaged("imagenette", kept, f"{len(files):,} of {IMAGENETTE_IMAGES:,} images")
    labels = np.array([label for _, label in files], dtype=np.int64)
    splits = np.concatenate([np.full(len(part), split, dtype="<U16") for split, part in parts])
    sha256 = hashlib.sha256()
    for file, _ in files:
        sha256.update(file.name.encode() + file.read_bytes())

    def read(index: np.ndarray) -> list[np.ndarray]:
        return [_decode(files[i][0].read_bytes(), files[i][0].name) for i in index]

    return Source("imagenette", sha256.hexdigest(), labels, splits, None, read)


def _in_folder(name: str) -> Source:
    """A bare name: ``NAME`` itself, ``NAME.npz``, ``NAME.tar…`` or several ``NAME-….tar…`` in the data folder."""
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
    """What in the data folder may be a data set of the reader's: folders, tars, ``.npz``; not torchvision's own."""
    base = folder()
    listing = sorted(base.iterdir()) if base.is_dir() else []
    own = {*TORCHVISION.values(), CIFAR10_BINARY, "cifar-10-python", "cifar-10-binary"}
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
    """``pets-train.tar.xz`` -> ``pets-train``; a folder's name as it is."""
    return path.name if path.is_dir() else ARCHIVE.sub("", path.name).removesuffix(".npz")


def _whole(path: Path) -> str:
    """``pets-train.tar.xz`` -> ``pets``: what a tar is a part of; else its own name."""
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
    """MemoryError for more bytes than this machine has: an archive of a megabyte can stand for a terabyte."""
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


@lru_cache(maxsize=1)  # a repetition a seed should not unpack 60,000 images anew
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
    """A source from encoded images; split and class are read off each one's folders, ``[…/]train/class/…``."""
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
