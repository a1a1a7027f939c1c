"""Encoders: shapes, the initial scale, stacks of seeds, hidden layers."""

import pytest
import torch
from torch import nn

from ssltheory.errors import InputError
from ssltheory.models.encoders import (
    activations,
    embed,
    initialise_,
    linear,
    measuring,
    mlp,
    projector,
    resnet,
    rms,
    scale_parameters_,
    small_conv,
    stack,
)

torch.set_num_threads(2)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (linear(12, 3), (12,)),
        (mlp((12, 8, 3)), (12,)),
        (mlp((12, 8, 3), batch_norm=True), (3, 2, 2)),
        (projector((12, 8, 8, 4)), (12,)),
        (small_conv(1), (1, 8, 8)),
        (small_conv(3, (4, 6), batch_norm=False), (3, 32, 32)),
    ],
)
def test_shapes(model, shape):
    z = model(draw(5, *shape))
    assert z.shape == (5, model.out_features)


@pytest.mark.parametrize(("depth", "d"), [(18, 512), (50, 2048)])
@pytest.mark.parametrize(("stem", "shrinks"), [("imagenet", 32), ("cifar", 8)])
def test_resnet_stems(depth, d, stem, shrinks):
    model = resnet(depth, stem, channels_in=1)
    x = draw(2, 1, 64, 64)
    assert model.out_features == d
    assert activations(model, x, ["layer4"])["layer4"].shape == (2, d, 64 // shrinks, 64 // shrinks)
    assert embed(model, x).shape == (2, d)


def test_initialise_is_he_seeded_and_leaves_torch_alone():
    a, b, c = mlp((400, 300, 10)), mlp((400, 300, 10)), initialise_(mlp((400, 300, 10)), seed=1)
    assert all(p.equal(q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not a[1].weight.equal(c[1].weight)
    assert a[1].weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.01)
    assert a[1].bias.eq(0).all()
    conv = small_conv(8, (64,), batch_norm=False)
    assert conv[0].weight.std().item() == pytest.approx((2 / (8 * 9)) ** 0.5, rel=0.03)
    state = torch.get_rng_state()
    initialise_(a, 3)
    assert torch.get_rng_state().equal(state)


def test_scale_is_of_every_parameter():
    model = projector((12, 8, 4))
    before = [p.clone() for p in model.parameters()]
    scale_parameters_(model, 0.3)
    for p, q in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p, 0.3 * q)
    same = initialise_(projector((12, 8, 4)), seed=0, scale=0.3)
    assert all(p.equal(q) for p, q in zip(model.parameters(), same.parameters(), strict=True))
    with pytest.raises(InputError, match="above 0"):
        scale_parameters_(model, 0.0)


@pytest.mark.parametrize(
    ("build", "power"),
    [
        (lambda: mlp((32, 64, 64, 8)), 3),  # one factor a layer
        (lambda: mlp((32, 64, 64, 8), batch_norm=True), 2),  # the last gain and the last layer
    ],
)
def test_output_scales_as_said(build, power):
    x = draw(256, 32)
    big, small = (rms(initialise_(build(), 0, s)(x)).item() for s in (1.0, 0.5))
    assert small / big == pytest.approx(0.5**power, rel=2e-3)


def test_rms_is_over_rows_and_columns():
    z = draw(3, 5, 4)
    assert rms(z).shape == (3,)
    assert rms(z)[1].item() == pytest.approx((z[1] ** 2).mean().sqrt().item(), rel=1e-6)
    assert rms(1e-9 * z)[0].item() == pytest.approx(1e-9 * rms(z)[0].item(), rel=1e-5)


STACKS = [
    (lambda: linear(12, 3), (12,)),
    (lambda: mlp((12, 8, 8, 3)), (12,)),
    (lambda: mlp((12, 8, 3), bias=False), (3, 2, 2)),
    (lambda: mlp((12, 8, 3), batch_norm=True), (12,)),
    (lambda: small_conv(1, (4, 6), batch_norm=False), (1, 8, 8)),
    (lambda: small_conv(1, (4, 6), batch_norm=True), (1, 8, 8)),
]


@pytest.mark.parametrize(("build", "shape"), STACKS)
@pytest.mark.parametrize("own", [False, True])
def test_a_stack_equals_its_members(build, shape, own):
    members = [initialise_(build(), seed) for seed in range(3)]
    stacked = stack(members)
    x = draw(3, 7, *shape) if own else draw(7, *shape)
    assert stacked.out_features == members[0].out_features
    separate = torch.stack([m(x[i] if own else x) for i, m in enumerate(members)])
    together = stacked(x)
    torch.testing.assert_close(together, separate, rtol=1e-5, atol=1e-6)
    assert not together[0].allclose(together[1])

    together.square().sum().backward()
    separate.square().sum().backward()
    ours = sum(p.grad.square().sum() for p in stacked.parameters())
    theirs = sum(p.grad.square().sum() for m in members for p in m.parameters())
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    # the same in evaluation, where BatchNorm uses the averages that the pass above left
    separate = torch.stack([embed(m, x[i] if own else x) for i, m in enumerate(members)])
    with measuring(stacked):
        torch.testing.assert_close(stacked(x), separate, rtol=1e-5, atol=1e-6)


def test_a_stack_needs_one_shape_and_copies():
    members = [mlp((4, 3)), mlp((4, 3))]
    stacked = stack(members)
    scale_parameters_(stacked, 2.0)
    assert members[0][1].weight.equal(mlp((4, 3))[1].weight)
    for wrong in ([], [mlp((4, 3)), mlp((4, 2))]):
        with pytest.raises(InputError, match="same shape"):
            stack(wrong)


def test_embed_in_chunks_and_without_a_trace():
    model = small_conv(1)
    x = draw(10, 1, 8, 8)
    model(x)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    model[1].eval()
    torch.testing.assert_close(embed(model, x, batch_size=3), embed(model, x))
    assert not embed(model, x).requires_grad
    as_trained = embed(model, x, batch_statistics=True)
    assert not as_trained.allclose(embed(model, x))
    assert model.training
    assert not model[1].training
    assert all(v.equal(state[k]) for k, v in model.state_dict().items())
    torch.testing.assert_close(as_trained, model.train()(x).detach())
    stacked = stack([small_conv(1), initialise_(small_conv(1), 1)])
    assert embed(stacked, x, batch_size=3).shape == (2, 10, 64)
    torch.testing.assert_close(embed(stacked, x, batch_statistics=True)[0], as_trained)
    with pytest.raises(InputError, match="leave batch_size out"):
        embed(model, x, 3, batch_statistics=True)


def test_activations_are_those_of_each_layer():
    model = mlp((12, 8, 3))
    x = draw(5, 12)
    hidden = activations(model, x)
    assert list(hidden) == ["0", "1", "2", "3"]
    torch.testing.assert_close(hidden["1"], (x @ model[1].weight.T + model[1].bias).detach())
    torch.testing.assert_close(hidden["2"], hidden["1"].relu())
    torch.testing.assert_close(hidden["3"], model(x).detach())
    with pytest.raises(InputError, match=r"no layer 'conv9'.*0, 1, 2, 3"):
        activations(model, x, ["conv9"])
    assert not model[1]._forward_hooks


def test_activations_are_not_overwritten_by_an_in_place_relu():
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True))
    assert activations(model, draw(9, 6))["0"].lt(0).any()


def test_bad_widths_are_named():
    with pytest.raises(InputError, match="2 or more widths"):
        mlp((4,))
    with pytest.raises(InputError, match="each at least 1"):
        small_conv(1, (4, 0))
    with pytest.raises(InputError, match="depth 18 or 50"):
        resnet(34)
