"""The optimiser of the large-batch papers."""

from typing import Any

import torch


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017, arXiv 1708.03888).

    In the form of the authors' code of Barlow Twins: with g the gradient plus weight_decay × w,
    v ← momentum · v + η (‖w‖ / ‖g‖) g and w ← w − lr · v; the ratio η ‖w‖ / ‖g‖ is 1 where a norm
    is 0. Parameters of one axis (biases, BatchNorm) have neither ratio nor weight decay.

    Args:
        params: as for any torch optimiser.
        lr: learning rate.
        momentum, weight_decay: as above.
        eta: the trust coefficient η.
    """

    def __init__(self, params, lr: float, momentum=0.9, weight_decay=0.0, eta=0.001) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eta": eta}
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure=None) -> Any:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if w.ndim > 1:
                    g = g.add(w, alpha=group["weight_decay"])
                    norm_w, norm_g = w.norm(), g.norm()
                    ratio = group["eta"] * norm_w / norm_g
                    g = g * torch.where((norm_w > 0) & (norm_g > 0), ratio, 1.0)
                state = self.state[w]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(w)
                v = state["momentum_buffer"].mul_(group["momentum"]).add_(g)
                w.add_(v, alpha=-group["lr"])
