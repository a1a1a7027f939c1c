"""A user's own images: image folders, tars of them and ``.npz``. Whatever is wrong with one is an ``InputError``."""

import hashlib
import io
import os
import re
import tarfile
import zipfile
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ssltheory.data.source import SPLITS, Source
from ssltheory.errors import InputError
from ssltheory.progress import track

ARCHIVE = re.compile(r"\.(tar|tar\.\w+|tgz)$")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
#: Pillow's readers of what the suffixes promise, and of the GIF that often lies behind one; never Ghostscript's.
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
#: Of an ``.npz``: array, kinds of its dtype, what it must be.
NPZ_KINDS = (
    ("y", "iu", "labels must be integers"),
    ("index", "iu", "places in CIFAR's order must be integers"),
    ("split", "SU", "the splits' names must be text"),
)
CIFAR_TRAIN = 50_000  # an ``index`` at or above this is a test image, in CIFAR's order


def stem(path: Path) -> str:
    """``pets-train.tar.xz`` -> ``pets-train``; a folder's name as it is."""
    return path.name if path.is_dir() else ARCHIVE.sub("", path.name).removesuffix(".npz")


def is_tar(path: Path) -> bool:
    """Whether the file begins like a tar, whatever it is called."""
    try:
        return tarfile.is_tarfile(path)
    except Exception:  # what tarfile makes of damage
        return False


def image_folder(path: Path) -> Source:
    """The images anywhere below a folder; split and class as in ``[…/]train/class/…``.

    Raises:
        InputError: if there is none, or one cannot be read.
    """
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


def tars(name: str, paths: list[Path]) -> Source:
    """The images in one tar or several, as those of one folder.

    A tar that is damaged or leads out of itself is an ``InputError``, and so is what is one in a folder.
    """
    return _tars(name, tuple(paths), tuple(path.stat().st_mtime_ns for path in paths))


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
                            f"{path.name} has a member outside of the folder it unpacks to, {member.name}: "
                            "pack the images again with relative paths, e.g. `tar -cf images.tar images`"
                        )
                    if inner.suffix.lower() not in IMAGE_SUFFIXES:
                        continue
                    if not member.isfile():
                        raise InputError(
                            f"{member.name} in {path.name} is a link or a folder, not an image file: pack the "
                            "images themselves, e.g. with `tar --dereference --hard-dereference`"
                        )
                    size += member.size
                    _check_memory(size)
                    members.append(member.name)
                    blobs.append(tar.extractfile(member).read())  # type: ignore[union-attr]
        except InputError:
            raise
        except Exception as error:  # what tarfile and its decompressors make of damage
            why = f" ({error})" if isinstance(error, OSError | MemoryError) else ""
            raise InputError(f"{path.name} is damaged or not a tar{why}: copy it again") from error
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
                images.append(decode(blobs[i], members[i]))
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


def decode(blob: bytes, member: str) -> np.ndarray:
    """An encoded image as uint8 ``(h, w, 3)``.

    Raises:
        InputError: if it is damaged, by the name ``member``.
    """
    try:
        with Image.open(io.BytesIO(blob), formats=IMAGE_FORMATS) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # what Pillow's readers make of damage
        raise InputError(f"{member} is damaged ({error}): repair or remove it") from error


def npz(path: Path) -> Source:
    """The images of an ``.npz``: ``x``, uint8 ``(n, h, w)`` or ``(n, h, w, c)``; ``y``, ``split`` or ``index`` if any.

    Raises:
        InputError: if it is damaged, or an array is missing or of the wrong type or size.
    """
    try:
        blob = path.read_bytes()
        parts = read_npz(blob)
    except (OSError, MemoryError, ValueError) as error:
        raise InputError(
            f"{path.name} is damaged or not an .npz of arrays alone ({error}): save the arrays again with "
            "np.savez, or copy it again"
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
            raise InputError(
                f"'split' in {path.name} holds bytes that are not ASCII: save it as an array of str"
            ) from error
        splits = np.array([SPLITS.get(word, word) for word in words])
    elif "index" in parts:
        splits = np.where(parts["index"].ravel() < CIFAR_TRAIN, "train", "test")
    labels = parts.get("y", np.full(len(x), -1)).ravel()
    for key, values in (("y", labels), ("split or index", splits)):
        if values is not None and len(values) != len(x):
            raise InputError(
                f"{path.name} has {len(x)} images but {len(values)} entries of {key}: save one for each image"
            )
    if (labels > np.iinfo(np.int64).max).any():
        raise InputError(f"'y' in {path.name} is beyond 64 bits: labels must be smaller integers")
    c, h, w = x.shape[3], x.shape[1], x.shape[2]
    sha256 = hashlib.sha256(blob).hexdigest()
    return Source(
        stem(path), sha256, labels.astype(np.int64), splits, (c, h, w), lambda i: list(x[i])
    )


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


def _check_memory(size: int) -> None:
    """Raise MemoryError for more bytes than this machine has: a megabyte of archive can unpack to a terabyte."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # Windows
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise MemoryError(
            f"it unpacks to {size / 1e9:,.0f} GB, the memory here is {memory / 1e9:,.0f} GB"
        )
