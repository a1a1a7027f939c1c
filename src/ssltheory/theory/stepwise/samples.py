"""Synthetic pairs whose Γ has known eigenvalues."""

import torch
from torch import Tensor


def sample_extent(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that share two signs, one spread over nine inputs, one on a single input: Γ has eigenvalues 9 and 1.

    Args:
        n: number of pairs.
        generator: draws the signs, and the noise (standard deviation 0.01, not shared by the two views).

    Returns:
        x_a, x_b ``(n, 10)`` and the known eigenvalues ``(2,)``.

    Source: the data set "extent" of anonymous-stepwise.

    Examples:
        >>> from ssltheory.measure import spectra
        >>> from ssltheory.theory.stepwise import cross_moment
        >>> x_a, x_b, known = sample_extent(1000, torch.Generator().manual_seed(0))
        >>> known.tolist()
        [9.0, 1.0]
        >>> spectra.eigenvalues(cross_moment(x_a, x_b))[:2].round().tolist()
        [9.0, 1.0]
    """
    signs = _signs(n, generator)
    shared = torch.cat([signs[:, :1].expand(n, 9), signs[:, 1:]], dim=1)
    return *_noisy_pair(shared, 0.01, generator), torch.tensor([9.0, 1.0], dtype=torch.float64)


def sample_amplitude(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that share two waves of 96 samples with random signs, amplitudes c of 1 and 1/2: eigenvalues c² 96/2.

    Args:
        n: number of pairs.
        generator: draws the signs, and the noise (standard deviation 0.1, not shared by the two views).

    Returns:
        x_a, x_b ``(n, 96)`` and the known eigenvalues ``(2,)``.

    Source: the data set "amplitude" of anonymous-stepwise.

    Examples:
        >>> from ssltheory.measure import spectra
        >>> from ssltheory.theory.stepwise import cross_moment
        >>> x_a, x_b, known = sample_amplitude(1000, torch.Generator().manual_seed(0))
        >>> known.round().tolist()
        [48.0, 12.0]
        >>> spectra.eigenvalues(cross_moment(x_a, x_b))[:2].round().tolist()
        [48.0, 12.0]
    """
    phase = 2 * torch.pi * torch.arange(96, dtype=torch.float64) / 96
    waves = torch.stack([torch.sin(32 * phase), 0.5 * torch.sin(8 * phase)])
    return *_noisy_pair(_signs(n, generator) @ waves, 0.1, generator), (waves**2).sum(1)


def _signs(n: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (n, 2), generator=generator).to(torch.float64) - 1


def _noisy_pair(shared: Tensor, noise: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    a, b = torch.randn(2, *shared.shape, generator=generator, dtype=torch.float64)
    return shared + noise * a, shared + noise * b
