"""Checks of a chapter's parameters against its data set. Each error names its remedy."""

import numpy as np

from ssltheory.data import Source, training_split
from ssltheory.errors import InputError


def shape_of(source: Source, resolution: int | None = None) -> tuple[int, int, int]:
    """Channels, height and width of the images as a chapter takes them.

    Args:
        source: the data set.
        resolution: the side that they are resized to, 0: as they are; None: the chapter resizes nothing.

    Raises:
        InputError: if they differ in size.
    """
    if resolution:
        channels = source.shape[0] if source.shape else 3
        return channels, resolution, resolution
    if source.shape is None:
        remedy = "bring them to one size first"
        if resolution is not None:
            remedy = "give a resolution, e.g. resolution=96"
        raise InputError(f"the images of {source.name} differ in size: {remedy}")
    return source.shape


def check_crop(crop: int, shape: tuple[int, int, int]) -> None:
    """Refuse a crop larger than images of that shape."""
    _, height, width = shape
    side = min(height, width)
    if crop > side:
        raise InputError(
            f"crop={crop}: the images have {height}×{width} pixels, take at most {side}"
        )


def check_count(source: Source, name: str, wanted: int, train: np.ndarray | None = None) -> None:
    """Refuse a parameter that asks for more images than there are, of all or of those for training."""
    available = len(source if train is None else train)
    kind = "images" if train is None else "training images"
    if wanted > available:
        raise InputError(f"{name}={wanted}: {source.name} has only {available} {kind}, take less")


def training_images(source: Source, n_images: int, split: str, seed: int) -> int:
    """How many images a chapter trains on: ``n_images`` of the split, all of it for 0.

    Raises:
        InputError: if it has fewer.
    """
    available = len(source.indices(split, seed))
    if n_images > available:
        raise InputError(
            f"n_images={n_images}: {source.name} has {available} training images, take less, or 0 for all"
        )
    return n_images or available


def check_batch(batch_size: int, images: int) -> None:
    """Refuse a batch larger than what there is to train on."""
    check_most("batch_size", batch_size, images, "training images")


def check_most(name: str, wanted: int, most: int, what: str) -> None:
    """Refuse a parameter that asks for more than there is: "points=500: there are only 397 test images, take less"."""
    if wanted > most:
        raise InputError(f"{name}={wanted}: there are only {most} {what}, take less")


def check_labelled(source: Source) -> None:
    """Refuse a data set in which an image has no label."""
    if (source.labels < 0).any():
        raise no_labels(source)


def check_classifier(
    source: Source, resolution: int, n_images: int, n_test: int, batch_size: int
) -> None:
    """Refuse images that no classifier can be trained and tested on: of different sizes, without labels, too few."""
    shape_of(source, resolution)
    check_labelled(source)
    check_count(source, "n_images + n_test", n_images + n_test)
    check_batch(batch_size, n_images)


def check_probe(source: Source, n_images: int, batch_size: int, n_labels: int, seed: int) -> None:
    """Refuse images that do not allow training without labels, then a probe on ``n_labels`` labels."""
    shape_of(source)
    images = training_images(source, n_images, training_split(source.name), seed)
    check_batch(batch_size, images)
    if (source.labels < 0).all():
        raise no_labels(source)
    available = len(source.indices("train", seed))
    check_most("n_labels", n_labels, available, f"labelled training images in {source.name}")


def no_labels(source: Source) -> InputError:
    """The refusal of a data set that lacks the labels a chapter needs."""
    return InputError(
        f"{source.name} has images with no labels: label them, e.g. by a folder for each class"
    )
