"""Convolutional networks from ConvNet to ResNet, and the matrices through which their layers act (riedi2022singular).

A network is a stem, blocks of one shape and a linear readout,

    z_0 = a(W_s * x),   z_{l+1} = a(W_l * z_l + b_l) + ρ z_l,   f = W_out z_L,

with a(h) = h where h > 0 and η h elsewhere. As long as no unit changes sides, f = M_x (W_l * z_l) + const;
``local_matrices`` finds M_x by automatic differentiation, not by multiplying layers. Networks with any ρ have the same
shape and train as one ``encoders.stack``. Sizes and initialisation are ours.
"""

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from ssltheory.errors import InputError
from ssltheory.models import encoders


class SkipNet(nn.Module):
    """A stem of stride 2, blocks and a readout: ``(n, c, h, w) -> (n, out_features)``.

    Args:
        shape: ``(c, h, w)`` of the images.
        width: channels of the stem and of every block.
        depth: number of blocks.
        out_features: number of outputs of the readout.
        rho: ρ, the weight of the skip. It is a buffer, so that networks with different values can be stacked.
        eta: η, the slope of the negative side; a buffer as well.

    Raises:
        InputError: if there is no block.
    """

    rho: Tensor
    eta: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        depth: int,
        out_features: int,
        rho: float = 1.0,
        eta: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise InputError(f"a SkipNet needs a block or more, got depth={depth}")
        channels, height, side = shape
        pixels = -(-height // 2) * -(-side // 2)
        self.stem = nn.Conv2d(channels, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.readout = nn.Linear(width * pixels, out_features)
        self.register_buffer("rho", torch.tensor(float(rho)))
        self.register_buffer("eta", torch.tensor(float(eta)))
        self.out_features = out_features

    def activation(self, h: Tensor) -> Tensor:
        """h where it is positive, η h elsewhere."""
        return torch.where(h > 0, h, self.eta * h)

    def start(self, x: Tensor) -> Tensor:
        """z_0, the input of the first block."""
        return self.activation(self.stem(x))

    def features(self, h: Tensor, z: Tensor) -> Tensor:
        """z_L, flattened, from the pre-activation h of the first block and its input z."""
        z = self.activation(h) + self.rho * z
        for block in self.blocks[1:]:
            z = self.activation(block(z)) + self.rho * z
        return z.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        z = self.start(x)
        return self.readout(self.features(self.blocks[0](z), z))


@torch.no_grad()
def network(
    x: Tensor,
    width: int,
    depth: int,
    out_features: int,
    rho: float,
    sigma: float,
    eta: float,
    seed: int,
) -> SkipNet:
    """An initialised network: blocks N(0, σ² / fan_in), stem and readout as He et al., biases 0.

    The readout is scaled so that the outputs for ``x`` have a root mean square of 0.3, however large ρ and σ make its
    input (ours).

    Args:
        x: some images, ``(n, c, h, w)``.
        width, depth, out_features, rho, eta: as for ``SkipNet``.
        sigma: σ; that of He et al. would be √(2 / (1 + η²)).
        seed: of the draw; the random numbers are the same for every ρ and σ.
    """
    net = SkipNet(x.shape[1:], width, depth, out_features, rho, eta)
    net = encoders.initialise_(net, seed).to(x)
    for k in range(depth):
        net.get_parameter(f"blocks.{k}.weight").mul_(sigma / 2**0.5)
    net.readout.weight.mul_(0.3 / encoders.rms(net(x)))
    return net


def local_matrices(net: SkipNet, x: Tensor, readout: bool = True) -> Tensor:
    """M_x of the first block at each image: the Jacobian of the outputs with respect to the result of its convolution.

    Args:
        net: the network, in the precision of x.
        x: ``(n, c, h, w)``.
        readout: False stops at z_L, as if W_out were the identity.

    Returns:
        ``(n, outputs, width · pixels)``.
    """

    def behind(h: Tensor, z: Tensor) -> Tensor:
        features = net.features(h[None], z[None])[0]
        return net.readout(features) if readout else features

    with torch.no_grad():
        z = net.start(x)
        return vmap(jacrev(behind))(net.blocks[0](z), z).flatten(2)


def affine_error(net: SkipNet, x: Tensor, seed: int = 0) -> float:
    """How far f(x) is from affine in the first block's weights W while no unit changes sides: 0 except for rounding.

    It is measured in float64, at the first image, along a random V of norm 1. The step t is halved from 1 until no unit
    changes sides.

    Args:
        net: the network; it does not change.
        x: ``(n, c, h, w)``.
        seed: of the draw of V.

    Returns:
        |f(W + tV) − f(W) − M_x (tV * z)| / |M_x (tV * z)|.
    """
    net, x = copy.deepcopy(net).double(), x[:1].double()
    weight = net.get_parameter("blocks.0.weight")
    names = [f"blocks.{k}" for k in range(len(net.blocks))]
    draw = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    direction = (draw / draw.norm()).to(weight)

    def sides() -> Tensor:
        return torch.stack(list(encoders.activations(net, x, names).values())) > 0

    with torch.no_grad():
        start, before, f, step = weight.clone(), sides(), net(x), 1.0
        push = nn.functional.conv2d(net.start(x), direction, padding=1).flatten(1)
        push = push @ local_matrices(net, x)[0].mT
        weight.copy_(start + direction)
        while not torch.equal(sides(), before):
            step /= 2
            weight.copy_(start + step * direction)
        change = net(x) - f
    return float((change - step * push).norm() / (step * push).norm())


def sharpness(net: SkipNet, x: Tensor) -> float:
    """Largest eigenvalue of 2 JᵀJ / n, with J the Jacobian of all outputs for x in all parameters.

    It is the largest curvature of Σ|y − f|² / n without the part from the outputs' own curvature (Gauss–Newton). Plain
    gradient descent is stable up to a learning rate of 2 divided by it.

    Args:
        net: the network.
        x: ``(n, c, h, w)``.
    """
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def outputs(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        return functional_call(net, parameters, (image[None],))[0]

    columns = vmap(jacrev(outputs), in_dims=(None, 0))(parameters, x).values()
    jacobian = torch.cat([column.flatten(2) for column in columns], -1).flatten(0, 1)
    return float(2 * torch.linalg.eigvalsh(jacobian @ jacobian.mT)[-1] / len(x))


def unstack(stack: nn.Module, nets: Sequence[SkipNet]) -> list[SkipNet]:
    """The networks, given the current parameters of their ``encoders.stack`` in place."""
    state = stack.get_submodule("member").state_dict()
    for k, net in enumerate(nets):
        net.load_state_dict({name: value[k] for name, value in state.items()})
    return list(nets)


def stacked(rows: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    """The columns of rows of tensors, each along a new first axis: what repetitions measured, by what it is.

    Args:
        rows: as many tensors in each, those of one column of one shape.

    Examples:
        >>> [column.tolist() for column in stacked([torch.arange(2), torch.arange(2, 4)])]
        [[0, 2], [1, 3]]
    """
    return [torch.stack(column) for column in zip(*rows, strict=True)]
