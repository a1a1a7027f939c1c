"""Barlow Twins in a linear model learns one eigenmode at a time (simon2023stepwise, sections 4 and 5).

A linear map ``f(x) = W x`` is trained on n positive pairs by gradient descent on

    L = ‖C − I_d‖²_F,   C = W Γ Wᵀ,   Γ = (1/2n) Σ_i (x_i x'_iᵀ + x'_i x_iᵀ).

The data enter through Γ alone. Time is t = learning rate × step throughout. Everything is float64: from a start
of 1e-7, single precision would round away the growth of later modes once the first is learnt.

A kernel machine is a linear model on the features of its kernel. Of the features it needs only the kernel on
the 2n views, K̃ = [[k_aa, k_ab], [k_abᵀ, k_bb]], and P, which swaps the views of every pair:
Γ = (1/2n) Φ P Φᵀ has the non-zero eigenvalues of K_Γ = (1/2n) K̃^½ P K̃^½.
"""

from ssltheory.theory.stepwise.descent import (
    LinearRun,
    gradient_descent,
    gradient_flow,
    log_and_linear,
)
from ssltheory.theory.stepwise.kernel_machine import (
    KernelEmbedding,
    kernel_barlow_twins,
    kernel_cross_moment,
    kernel_gradient_descent,
)
from ssltheory.theory.stepwise.linear import LinearSolution, cross_moment, linear_barlow_twins
from ssltheory.theory.stepwise.samples import sample_amplitude, sample_extent

__all__ = [
    "KernelEmbedding",
    "LinearRun",
    "LinearSolution",
    "cross_moment",
    "gradient_descent",
    "gradient_flow",
    "kernel_barlow_twins",
    "kernel_cross_moment",
    "kernel_gradient_descent",
    "linear_barlow_twins",
    "log_and_linear",
    "sample_amplitude",
    "sample_extent",
]
