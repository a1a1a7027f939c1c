"""Labels as the second view: batches that belong together, a stack that trains as its members would."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ssltheory import train
from ssltheory.errors import InputError
from ssltheory.models import encoders
from ssltheory.train import supervised


def images(*shape):
    """Images whose every pixel is their number, and the number as label."""
    y = torch.arange(torch.Size(shape).numel()).view(shape)
    return y[..., None, None, None].float().expand(*shape, 1, 2, 2), y


@pytest.mark.parametrize("shape", [(10,), (3, 10)])
def test_a_batch_is_images_with_their_own_labels_without_repeats(shape):
    views = supervised.labelled(*images(*shape), lambda x, generator: x, 4)
    x, y = views(torch.Generator().manual_seed(0))
    assert x.shape == (*shape[:-1], 4, 1, 2, 2)
    assert (x.mean((-3, -2, -1)) == y).all()
    assert len(y.unique()) == y.numel()
    if len(shape) > 1:
        assert (y // 10 == torch.arange(3)[:, None]).all(), "each seed from its own images"
        assert len({tuple(row.tolist()) for row in y % 10}) == 3, "and a batch of its own"


def test_the_augmentation_sees_every_image_of_the_batch_once():
    views = supervised.labelled(*images(3, 10), lambda x, generator: x + 1, 4)
    x, y = views(torch.Generator().manual_seed(0))
    assert (x.mean((-3, -2, -1)) == y + 1).all()


def test_cross_entropy_is_torchs():
    z, y = torch.randn(3, 8, 5), torch.randint(0, 5, (3, 8))
    expected = torch.stack([F.cross_entropy(*pair) for pair in zip(z, y, strict=True)])
    torch.testing.assert_close(supervised.cross_entropy(z, y), expected)
    torch.testing.assert_close(supervised.cross_entropy(z[0], y[0]), expected[0])


def test_class_accuracy_weighs_classes_not_images():
    logits = torch.eye(3)[torch.tensor([0, 0, 1, 2, 0])]
    found = supervised.class_accuracy(logits, torch.tensor([0, 0, 0, 2, 2]))
    assert found[[0, 2]].tolist() == [2 / 3, 1 / 2]
    assert found[1].isnan()


def test_a_stack_learns_as_its_members_do():
    x = torch.randn(2, 30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = (x.mean((-3, -2, -1)) > 0).long()

    def net(seed):
        body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        body = encoders.initialise_(nn.Sequential(*body, nn.Linear(16, 2)), seed)
        body.out_features = 2
        return body

    def trained(net, x, y):
        recipe = train.Recipe(steps=40, lr=0.1, momentum=0.9)
        views = supervised.labelled(x, y, lambda x, generator: x, 30)
        train.train(supervised.Classifier(net), views, supervised.cross_entropy, recipe)
        return encoders.embed(net, x if x.ndim == 4 else x.flatten(0, 1))

    alone = [trained(net(s), x[s], y[s]) for s in (0, 1)]
    stacked = trained(encoders.stack([net(0), net(1)]), x, y)
    for s in (0, 1):
        mine = stacked[s, 30 * s : 30 * s + 30]
        torch.testing.assert_close(mine, alone[s], rtol=1e-3, atol=1e-3)
        assert supervised.class_accuracy(mine, y[s]).mean() > 0.9


def test_what_does_not_belong_together_is_refused():
    x, y = images(10)
    with pytest.raises(InputError, match=r"need labels \(n,\)"):
        supervised.labelled(x, y[:9], lambda x, generator: x, 4)
    with pytest.raises(InputError, match="batch_size"):
        supervised.labelled(x, y, lambda x, generator: x, 11)
