"""What the chapters without negatives train is what their papers say, and drawn from seeds of its own."""

from functools import partial

import pytest
import torch
from torch import nn

from ssltheory import augmentations
from ssltheory.errors import InputError
from ssltheory.models import predictors, siamese


def build(seed):
    return siamese.network("small_conv", 1, 8, 20, 16, seed)


def test_projector_has_biases_but_no_gain():
    head = build(0)[1]
    assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [tuple(p.shape) for p in head.parameters()] == [(20, 48), (20,), (16, 20), (16,)]


@pytest.mark.parametrize(("size", "stride"), [(32, 1), (96, 2)])
def test_resnets_stem_goes_by_the_size_of_the_views(size, stride):
    net = siamese.network("resnet18", 3, size, 8, 4, 0)
    assert net[0].conv1.stride == (stride, stride)
    assert net(torch.rand(2, 3, size, size)).shape == (2, 4)


def test_online_target_and_predictor_are_drawn_apart():
    head = partial(predictors.linear, 16)
    model, again = (siamese.siamese(build, head, 3, 0.9) for _ in range(2))
    other = siamese.siamese(build, head, 4, 0.9)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    draws = [p for p in model.parameters() if p.ndim > 1 and p.numel() > 1]
    draws += [p for p in other.parameters() if p.ndim > 1 and p.numel() > 1]
    flat = [p.detach().flatten()[:100] for p in draws]
    for i, a in enumerate(flat):
        for b in flat[:i]:
            n = min(len(a), len(b))
            assert abs(torch.corrcoef(torch.stack([a[:n], b[:n]]))[0, 1]) < 0.5
    assert model.momentum == 0.9
    assert siamese.siamese(build, head, 3, 0.0).target is None
    with pytest.raises(InputError, match="average"):
        siamese.siamese(build, head, 3, 1.5)


def test_views_are_the_papers():
    cifar = siamese.two_views("cifar10", 32, 0.08)
    jitter = cifar.brightness, cifar.contrast, cifar.saturation, cifar.hue, cifar.jitter
    assert jitter == (0.4, 0.4, 0.4, 0.1, 0.8)
    assert (cifar.scale, cifar.flip, cifar.grey, cifar.blur) == ((0.08, 1.0), 0.5, 0.2, 0)
    assert (cifar.mean, cifar.std) == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    stl = siamese.two_views("stl10", 96, 0.08)
    jitter = stl.brightness, stl.contrast, stl.saturation, stl.hue, stl.jitter
    assert jitter == (0.8, 0.8, 0.8, 0.2, 0.8)
    assert (stl.blur, stl.kernel_size, stl.sigma, stl.mean) == (1, 9, (0.1, 2.0), None)


def test_whole_images_are_resized_and_normalised_like_the_views():
    x = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    views = siamese.two_views("cifar10", 32, 0.08)
    expected = augmentations.normalize(x / 255, views.mean, views.std)
    torch.testing.assert_close(siamese.whole(x, views), expected)
    grey = x[:, :1]
    half = siamese.whole(grey, siamese.two_views("crop", 16, 0.8))
    pooled = torch.nn.functional.interpolate(
        grey / 255, size=(16, 16), mode="bilinear", antialias=True, align_corners=False
    )
    torch.testing.assert_close(half, pooled)
