"""DeepTensor's factor networks against one 3-D U-Net for the whole cube: ``python -m benchmarks.deep_tensor``.

A step of gradient descent on a cube of random numbers, rank 12, 32 channels: three 1-D networks (ours), a 2-D and a
1-D network, and the U-Net of width 16 of ``denoising``. They do not compute the same; what agrees is the shape of what
they fit. A call of ours is ten steps with building the networks, one of the U-Net is one step.
"""

import torch

from benchmarks.harness import arguments, compare, report
from ssltheory.chapters.deep_tensor.experiment import UNet3d
from ssltheory.deep_tensor import factorize

STEPS, RANK = 10, 12
PAIR, UNET = "2-D and 1-D network", "3-D U-Net"
AIMS = {32: {UNET: 8.0}, 64: {UNET: 15.0}}


def main() -> None:
    chosen = arguments("deep_tensor", largest=64)
    comparisons = []
    for side in [side for side in (32, 64, 96, 128) if side <= chosen.largest]:
        y = torch.rand(side, side, side, device=chosen.device)
        net, z = UNet3d().to(chosen.device), torch.rand(1, 1, *y.shape, device=chosen.device) / 10
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)

        def factors(*axes: list[int], y: torch.Tensor = y) -> torch.Tensor:
            return factorize(y, RANK, axes, steps=STEPS).estimate

        def unet(net=net, z=z, y=y, optimizer=optimizer) -> torch.Tensor:
            estimate = net(z)[0, 0]
            optimizer.zero_grad()
            (estimate - y).square().mean().backward()
            optimizer.step()
            return estimate

        def agree(factors=factors, unet=unet, y=y) -> None:
            found = factors([0], [1], [2]), factors([0, 1], [2]), unet()
            assert {estimate.shape for estimate in found} == {y.shape}

        comparisons += compare(
            f"a step on {side} x {side} x {side}",
            lambda factors=factors: factors([0], [1], [2]),
            {PAIR: lambda factors=factors: factors([0, 1], [2]), UNET: unet},
            agree,
            rounds=chosen.rounds,
            items=STEPS,
            peer_items={UNET: 1},
            aims=AIMS.get(side),
            device=chosen.device,
        )
    report("deep_tensor", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()
