"""Why a predictor and a stop-gradient prevent collapse (tian2021directpred, arXiv 2102.06810).

With an online network W ``(n2, n1)``, a target W_a, a linear predictor W_p ``(n2, n2)`` and two views x1, x2
of an image x, the loss

    J = ½ E ‖W_p W x1 − sg(W_a x2)‖²

depends on the data only through X = E x̄ x̄ᵀ (x̄ the mean view of an image) and X' = E Cov(view | image).
With R = −W_p W (X + X') + W_a X its gradient flow is

    dW_p/dt = α_p R Wᵀ − η W_p,   dW/dt = W_pᵀ R − η W,   dW_a/dt = β (W − W_a).

Where X = I, X' = σ² I, W_a = τ W and W_p shares the eigenvectors of F = W X Wᵀ, the flow splits into
modes (p_j, s_j), eigenvalues of W_p and F. Matrices are float64 torch tensors; modes are NumPy arrays
of any shapes that broadcast.

t is flow time: learning rate × step. The weight decay η is what an optimiser calls ``weight_decay``
(added to the gradient, so multiplied by the learning rate); the paper's simulations write η̄ = lr · η.
σ² is ``noise``. For a moving average with momentum γ_a the rate β is (1 − γ_a) / lr.
"""

from ssltheory.theory.directpred.directset import DirectSetLimit, directset_flow, directset_limit
from ssltheory.theory.directpred.matrices import (
    MatrixFlow,
    alignment,
    asymmetry,
    balance,
    commutator,
    commutator_decay,
    decay_matrix,
    eigenspace_flow,
    expected_loss,
    matrix_flow,
    optimal_predictor,
    view_moments,
    weights_without_predictor,
)
from ssltheory.theory.directpred.modes import (
    EndState,
    FixedPoints,
    Modes,
    aligned_start,
    alignment_rate,
    alignment_threshold,
    collapse_threshold,
    end_state,
    fixed_points,
    growth,
    in_modes,
    mode_flow,
    mode_integral,
    mode_velocity,
    passage_time,
    survives,
)

__all__ = [
    "DirectSetLimit",
    "EndState",
    "FixedPoints",
    "MatrixFlow",
    "Modes",
    "aligned_start",
    "alignment",
    "alignment_rate",
    "alignment_threshold",
    "asymmetry",
    "balance",
    "collapse_threshold",
    "commutator",
    "commutator_decay",
    "decay_matrix",
    "directset_flow",
    "directset_limit",
    "eigenspace_flow",
    "end_state",
    "expected_loss",
    "fixed_points",
    "growth",
    "in_modes",
    "matrix_flow",
    "mode_flow",
    "mode_integral",
    "mode_velocity",
    "optimal_predictor",
    "passage_time",
    "survives",
    "view_moments",
    "weights_without_predictor",
]
