"""Batched augmentations against torchvision's, image by image: in value, and in distribution."""

import math

import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from ssltheory.augmentations import (
    TwoViews,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    gaussian_blur,
    normalize,
    random_boxes,
    random_crop,
    random_gaussian_blur,
    random_greyscale,
    random_horizontal_flip,
    random_resized_crop,
    resized_crop,
)
from ssltheory.errors import InputError

N = 24


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=N, c=3, h=20, w=20, seed=0):
    """Smooth colours with saturated, black, white and grey patches, where hue is degenerate."""
    x = torch.rand(n, c, h, w, generator=seeded(seed))
    x[:, :, :3, :3] = 0.0
    x[:, :, :3, 3:6] = 1.0
    x[:, :, 3:6, :3] = 0.4
    x[:, 0, 3:6, 3:6] = 1.0
    return x


def one_by_one(transform, x, *parameters):
    return torch.stack([transform(image, *p) for image, *p in zip(x, *parameters, strict=True)])


def alike(a, b):
    """Two samples of one distribution, at the 1 % level (Kolmogorov and Smirnov)."""
    return ks_2samp(a, b, method="asymp").pvalue > 0.01


# Equal to torchvision at a fixed parameter


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (adjust_brightness, tv.adjust_brightness, 0.0, 2.0),
        (adjust_contrast, tv.adjust_contrast, 0.0, 2.0),
        (adjust_saturation, tv.adjust_saturation, 0.0, 2.0),
        (adjust_hue, tv.adjust_hue, -0.5, 0.5),
    ],
    ids=["brightness", "contrast", "saturation", "hue"],
)
def test_colour_is_torchvisions(ours, theirs, low, high, channels):
    x = images(c=channels)
    factor = torch.linspace(low, high, N)
    expected = one_by_one(theirs, x, factor.tolist())
    torch.testing.assert_close(ours(x, factor), expected, rtol=0, atol=1e-5)


def test_grey_is_torchvisions():
    x = images()
    expected = tv.rgb_to_grayscale(x, num_output_channels=3)
    torch.testing.assert_close(random_greyscale(x, p=1.0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kernel_size", [1, 3, 7, 23])
def test_blur_is_torchvisions(kernel_size):
    x = images(h=16, w=13)
    sigma = torch.linspace(0.1, 3.0, N)
    expected = one_by_one(
        lambda image, s: tv.gaussian_blur(image, [kernel_size] * 2, [s, s]), x, sigma.tolist()
    )
    torch.testing.assert_close(gaussian_blur(x, kernel_size, sigma), expected, rtol=0, atol=1e-5)


def test_no_blur_at_sigma_zero():
    x = images()
    assert torch.equal(gaussian_blur(x, 5, torch.zeros(N)), x)


@pytest.mark.parametrize(("h", "w", "size"), [(20, 20, 20), (33, 26, 12), (9, 14, 24)])
def test_resized_crop_is_torchvisions(h, w, size):
    """With antialias, torchvision's default: it acts where the box is larger than the output."""
    x = images(h=h, w=w)
    boxes = random_boxes(N, h, w, generator=seeded(1))
    boxes[0][0], boxes[1][0], boxes[2][0], boxes[3][0] = 0, 0, h, w
    boxes[0][1], boxes[1][1], boxes[2][1], boxes[3][1] = h - 1, w - 1, 1, 1
    expected = one_by_one(
        lambda image, *box: tv.resized_crop(image, *(int(v) for v in box), [size, size]), x, *boxes
    )
    torch.testing.assert_close(resized_crop(x, *boxes, size), expected, rtol=0, atol=1e-5)
    mirrored = torch.arange(N) % 2 == 0
    expected = torch.where(mirrored[:, None, None, None], expected.flip(-1), expected)
    flipped = resized_crop(x, *boxes, size, mirrored)
    torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-5)


def test_normalize_is_torchvisions():
    mean, std = (0.49, 0.48, 0.44), (0.2, 0.3, 0.25)
    torch.testing.assert_close(normalize(images(), mean, std), tv.normalize(images(), mean, std))


# Equal to torchvision in distribution (two samples, fixed seeds)


@pytest.mark.parametrize(
    ("h", "w", "scale", "ratio"),
    [
        (32, 32, (0.08, 1.0), (3 / 4, 4 / 3)),
        (24, 60, (0.5, 1.0), (3 / 4, 4 / 3)),  # many boxes do not fit
        (10, 50, (0.9, 1.0), (3 / 4, 4 / 3)),  # none does: the central box
    ],
)
def test_boxes_are_torchvisions(h, w, scale, ratio):
    n = 1500
    transform, image = v2.RandomResizedCrop(8, scale, ratio), torch.empty(3, h, w)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [transform.make_params([image]) for _ in range(n)]
    names = ("top", "left", "height", "width")
    theirs = torch.tensor([[p[name] for name in names] for p in drawn]).double().T
    ours = torch.stack(random_boxes(n, h, w, scale, ratio, generator=seeded(1))).double()
    for top, left, height, width in (ours, theirs):
        assert top.min() >= 0
        assert left.min() >= 0
        assert (top + height).max() <= h
        assert (left + width).max() <= w
    for measure in (
        lambda box: box[2] * box[3],
        lambda box: box[3] / box[2],
        lambda box: box[0],
        lambda box: box[1],
        lambda box: box[0] / (h - box[2] + 1),
    ):
        assert alike(measure(ours), measure(theirs))


@pytest.mark.parametrize(
    "strengths",
    [(0.4, 0, 0, 0), (1.6, 0, 0, 0), (0, 0.4, 0, 0), (0, 0, 0.4, 0), (0, 0, 0, 0.1)],
    ids=["brightness", "brightness above 1", "contrast", "saturation", "hue"],
)
def test_jitter_is_torchvisions(strengths):
    """One effect at a time, by what it does to a dim image's brightness, spread, colour and hue."""
    n = 1000
    x = 0.3 + 0.2 * images(1, h=6, w=6)
    x[:, 0] += 0.05
    x = x.expand(n, -1, -1, -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = one_by_one(v2.ColorJitter(*strengths), x)
    ours = color_jitter(x, *strengths, p=1.0, generator=seeded(1))
    for measure in (
        lambda y: y.mean((1, 2, 3)),
        lambda y: y.std((1, 2, 3)),
        lambda y: (y[:, 0] - y[:, 2]).mean((1, 2)),
        lambda y: (y[:, 0] - y[:, 1]).mean((1, 2)),
    ):
        a, b = (measure(y).double() for y in (ours, theirs))
        if b.std() > 1e-6:
            assert alike(a, b)
        else:  # what the effect leaves alone
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def contrasts_first(x, n):
    """What a fixed order gives instead of a drawn one."""
    u = torch.rand(3, n, generator=seeded(1)) * 0.8 + 0.6
    return adjust_saturation(adjust_brightness(adjust_contrast(x, u[0]), u[1]), u[2])


def distances(a, b):
    measures = (
        lambda y: y.mean((1, 2, 3)),
        lambda y: y.std((1, 2, 3)),
        lambda y: (y.amax(1) - y.amin(1)).mean((1, 2)),
        lambda y: (y[:, 0] - y[:, 2]).mean((1, 2)),
    )
    tests = [ks_2samp(m(a).double(), m(b).double(), method="asymp") for m in measures]
    return max(t.statistic for t in tests), min(t.pvalue for t in tests)


def test_jitter_in_the_order_of_torchvision():
    """All effects at once. The hue's place, always last, is the one difference, and a small one."""
    n = 1500
    x = images(1, h=6, w=6).expand(n, -1, -1, -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        without_hue, whole = (
            one_by_one(v2.ColorJitter(0.4, 0.4, 0.4, hue), x) for hue in (0.0, 0.1)
        )
    _, pvalue = distances(color_jitter(x, 0.4, 0.4, 0.4, 0.0, 1.0, seeded(1)), without_hue)
    assert pvalue > 0.01
    _, pvalue = distances(contrasts_first(x, n), without_hue)
    assert pvalue < 0.01
    distance, _ = distances(color_jitter(x, p=1.0, generator=seeded(1)), whole)
    assert distance < 0.06


def test_blur_widths_are_uniform():
    """A point's centre weight gives σ back."""
    n = 2000
    x = torch.zeros(n, 1, 9, 9)
    x[:, :, 4, 4] = 1
    share = random_gaussian_blur(x, 3, (0.5, 2.0), p=0.6, generator=seeded())[:, 0, 4, 4].sqrt()
    blurred = share < 0.9999
    assert abs(blurred.double().mean() - 0.6) < 4 * math.sqrt(0.6 * 0.4 / n)
    sigma = (2 * (2 * share[blurred] / (1 - share[blurred])).log()).rsqrt()
    assert kstest(sigma.double(), "uniform", args=(0.5, 1.5)).pvalue > 0.01


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "augment",
    [
        lambda x, p, g: random_horizontal_flip(x, p, g),
        lambda x, p, g: random_resized_crop(x, 6, (1.0, 1.0), (1.0, 1.0), p, g),
        lambda x, p, g: random_greyscale(x, p, g),
        lambda x, p, g: color_jitter(x, 0.4, 0.4, 0.4, 0.1, p, g),
        lambda x, p, g: random_gaussian_blur(x, 3, (1.0, 2.0), p, g),
    ],
    ids=["flip", "flip in the crop", "grey", "jitter", "blur"],
)
def test_probability(augment, p):
    n = 2000
    x = images(1, h=6, w=6).expand(n, -1, -1, -1)
    changed = (augment(x, p, seeded()) - x).abs().amax((1, 2, 3)) > 1e-3
    rate = changed.double().mean()
    assert abs(rate - p) <= 4 * math.sqrt(p * (1 - p) / n)


def test_random_crop_is_a_window_of_exact_pixels():
    n, h, w, size = 600, 7, 9, 5
    x = torch.arange(h * w, dtype=torch.float32).view(1, 1, h, w).repeat(n, 2, 1, 1)
    y = random_crop(x, size, seeded())
    assert y.shape == (n, 2, size, size)
    corner = y[:, 0, 0, 0].long()
    top, left = corner // w, corner % w
    for i in range(0, n, 97):
        assert torch.equal(y[i], x[i, :, top[i] : top[i] + size, left[i] : left[i] + size])
    counts = torch.bincount(top * 5 + left, minlength=15)
    assert counts.shape == (15,)  # 3 x 5 offsets
    assert ((counts - n / 15).square() / (n / 15)).sum() < 29.1  # χ² with 14 degrees, 1 %


# Draws


def test_reproducible_from_the_generator():
    x, views = images(), TwoViews(16)
    first, again, other = (views(x, seeded(s)) for s in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    state = torch.random.get_rng_state()
    views(x, seeded())
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_image_has_its_own_draw():
    """A batch of one image repeated: no two of all its views are alike."""
    x = images(1).repeat(100, 1, 1, 1)
    views = torch.cat(TwoViews(16)(x, seeded())).flatten(1)
    apart = torch.cdist(views, views) + 10 * torch.eye(len(views))
    assert apart.min() > 0.01


def test_a_shared_draw_would_be_seen():
    """torchvision on a batch draws once: the test above sees that."""
    x = images(1).repeat(10, 1, 1, 1)
    views = v2.RandomResizedCrop(16)(x).flatten(1)
    assert (torch.cdist(views, views) + 10 * torch.eye(10)).min() < 0.01


def test_never_waits_for_the_device():
    """Meta tensors have shapes and no values: whatever reads one raises."""
    x = torch.empty(6, 3, 20, 20, device="meta")
    views = TwoViews(16, mean=(0.5,) * 3, std=(0.2,) * 3)
    for y in (*views(x), random_crop(x, 5), random_horizontal_flip(x)):
        assert y.device.type == "meta"


# TwoViews


def test_two_views_of_a_large_batch_are_whole():
    """More images than are done at once on a CPU: each view stays with its image."""
    n = 700
    x = torch.arange(n).div(n).view(n, 1, 1, 1).expand(n, 3, 16, 16)
    plain = TwoViews(16, jitter=0, grey=0, blur=0)
    for view in plain(x, seeded()):
        torch.testing.assert_close(view, x, rtol=0, atol=1e-5)


def test_two_views_stay_in_range_and_normalise_last():
    x = images(64)
    a, b = TwoViews(24)(x, seeded())
    assert a.shape == b.shape == (64, 3, 24, 24)
    assert a.min() > -1e-5
    assert a.max() < 1 + 1e-5
    assert not torch.equal(a, b)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    normalised, _ = TwoViews(24, mean=mean, std=std)(x, seeded())
    torch.testing.assert_close(normalised, normalize(a, mean, std))


def test_uint8_is_divided_by_255():
    x = (255 * images()).round().to(torch.uint8)
    a, _ = TwoViews(16)(x, seeded())
    b, _ = TwoViews(16)(x / 255, seeded())
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_kept(dtype):
    views = TwoViews(16, mean=(0.5,) * 3, std=(0.2,) * 3)(images().to(dtype), seeded())
    assert {v.dtype for v in views} == {dtype}
    assert all(v.isfinite().all() for v in views)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_channels_last_is_kept(device):
    x = images().to(device).contiguous(memory_format=torch.channels_last)
    for view in TwoViews(16)(x):
        assert view.is_contiguous(memory_format=torch.channels_last)
    for view in TwoViews(16)(x.contiguous()):
        assert view.is_contiguous()


def test_single_channel_digits():
    """8 x 8 digits: brightness and contrast act; saturation, hue and grey change nothing."""
    x = images(c=1, h=8, w=8)
    a, b = TwoViews(8, mean=(0.5,), std=(0.2,))(x, seeded())
    assert a.shape == b.shape == x.shape
    assert not torch.equal(color_jitter(x, 0.4, 0.4, 0, 0, 1.0), x)
    assert torch.equal(color_jitter(x, 0, 0, 0.4, 0.1, 1.0), x)
    assert torch.equal(random_greyscale(x, 1.0), x)


# Refusals


@pytest.mark.parametrize(
    "parameters",
    [
        {"size": 0},
        {"scale": (0.5, 0.1)},
        {"scale": (0.0, 1.0)},
        {"ratio": (-1.0, 1.0)},
        {"flip": 1.2},
        {"hue": 0.6},
        {"brightness": -0.1},
        {"sigma": (0.0, 1.0)},
        {"kernel_size": 4},
        {"mean": (0.5,)},
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters):
    with pytest.raises(InputError):
        TwoViews(**{"size": 16} | parameters)


def test_wrong_images_are_refused():
    with pytest.raises(InputError, match=r"\(n, c, h, w\)"):
        TwoViews(16)(torch.rand(3, 20, 20))
    with pytest.raises(InputError, match="int64"):
        TwoViews(16)(torch.zeros(2, 3, 20, 20, dtype=torch.int64))
    with pytest.raises(InputError, match="1 or 3 channels"):
        TwoViews(16)(torch.rand(2, 4, 20, 20))
    with pytest.raises(InputError, match="does not fit"):
        random_crop(torch.rand(2, 3, 8, 8), 9)
    with pytest.raises(InputError, match="kernel_size=9 must be odd"):
        gaussian_blur(torch.rand(2, 3, 4, 4), 9, torch.ones(2))
    with pytest.raises(InputError, match="channels"):
        normalize(torch.rand(2, 3, 4, 4), (0.5,), (0.2,))
