"""A DirectPred step against what the authors' loop does: ``python -m benchmarks.directpred``.

Same network, images, views, loss, optimiser and start, both on one device, in full precision. The peer is a plain
transcription, written for this benchmark, of what the official code does each step: a third view of each image that
nothing uses, z zᵀ of every row formed before it is averaged, ``eig`` without the use of symmetry, the moving average
parameter by parameter, the loss read back each time.
"""

import copy
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.augmentations import smooth_images
from benchmarks.harness import arguments, compare, report
from ssltheory import losses, train
from ssltheory.models import predictors, siamese

IMAGES, BATCH, SIZE, STEPS = 1024, 128, 32, 10
WIDTH, DIM = 512, 128  # the paper's
LR, MOMENTUM, WEIGHT_DECAY, AVERAGE, RHO, EPS = 0.03, 0.9, 4e-4, 0.996, 0.3, 0.1
AIMS = {"the official step": 1.0}


class Official:
    """The transcription: ``step`` is one step on the batch that ``views`` draws."""

    def __init__(self, model: predictors.Siamese, views: siamese.TwoViews) -> None:
        self.online, self.target = model.online, model.target
        device = next(model.parameters()).device
        self.predictor = nn.Linear(DIM, DIM, bias=False, device=device)
        with torch.no_grad():
            self.predictor.weight.copy_(model.predictor.weight)
        settings = {"lr": LR, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY}
        self.optimizer = torch.optim.SGD(self.online.parameters(), **settings)
        self.of_predictor = torch.optim.SGD(self.predictor.parameters(), **settings)
        self.views, self.f, self.losses = views, None, []

    def step(self, x: torch.Tensor, generator: torch.Generator) -> None:
        batch = torch.randperm(len(x), generator=generator, device=x.device)[:BATCH]
        a, b = self.views(x[batch], generator)
        siamese.whole(x[batch], self.views)  # the third view
        z_a, z_b = self.online(a), self.online(b)
        z = torch.cat([z_a, z_b]).detach()
        outer = torch.bmm(z.unsqueeze(2), z.unsqueeze(1)).mean(0)
        self.f = outer if self.f is None else RHO * self.f + (1 - RHO) * outer
        with torch.no_grad():
            target_a, target_b = self.target(a), self.target(b)
        loss = self.regression(self.predictor(z_a), target_b)
        loss = (loss + self.regression(self.predictor(z_b), target_a)).mean()
        self.optimizer.zero_grad()
        self.of_predictor.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.of_predictor.step()
        self.set_predictor()
        for theirs, ours in zip(self.target.parameters(), self.online.parameters(), strict=True):
            theirs.data = AVERAGE * theirs.data + (1 - AVERAGE) * ours.data
        self.losses.append(loss.item())

    @staticmethod
    def regression(p: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return -2 * (F.normalize(p, dim=1) * F.normalize(z, dim=1)).sum(1)

    def set_predictor(self) -> None:
        values, vectors = torch.linalg.eig(self.f)
        s, u = values.real, vectors.real
        p = ((s / s.max()).clamp(min=0).sqrt() + EPS).clamp(min=1e-4)
        self.predictor.weight.data = u @ torch.diag(p) @ u.T


def main() -> None:
    chosen = arguments("directpred")
    encoder = "small_conv" if chosen.device == "cpu" else "resnet18"
    x = smooth_images(IMAGES).to(chosen.device)
    two_views = siamese.two_views("cifar10", SIZE, 0.08)
    views = train.augmented(x, two_views, BATCH)

    def build(seed: int) -> nn.Module:
        return siamese.network(encoder, 3, SIZE, WIDTH, DIM, seed)

    def head(seed: int) -> nn.Module:
        return predictors.DirectPred(DIM, RHO, EPS)

    start = siamese.siamese(build, head, 0, AVERAGE).to(chosen.device)
    descend = partial(
        train.train,
        views=views,
        loss=losses.byol,
        observe_steps=[],
        after_step=predictors.after_step,
        amp=False,
    )
    recipe = train.Recipe(steps=STEPS, lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)

    def agree() -> None:
        """Three steps from one start on the same views: predictor, networks and losses are the same."""
        ours = copy.deepcopy(start)
        theirs = Official(copy.deepcopy(start), two_views)
        curve = descend(ours, recipe=replace(recipe, steps=3)).curve
        generator = torch.Generator(chosen.device).manual_seed(0)
        for _ in range(3):
            theirs.step(x, generator)
        torch.testing.assert_close(curve[:3] - 4, torch.tensor(theirs.losses), rtol=0, atol=1e-4)
        pairs = [(ours.predictor.weight, theirs.predictor.weight)]
        for name in ("online", "target"):
            networks = (getattr(side, name).parameters() for side in (ours, theirs))
            pairs += zip(*networks, strict=True)
        for a, b in pairs:
            assert (a - b).norm() <= 2e-3 * a.norm()

    model, peer = copy.deepcopy(start), Official(copy.deepcopy(start), two_views)
    generator = torch.Generator(chosen.device).manual_seed(0)

    def official() -> None:
        for _ in range(STEPS):
            peer.step(x, generator)

    comparisons = compare(
        f"DirectPred step, {BATCH} x {SIZE} px",
        lambda: descend(model, recipe=recipe),
        {"the official step": official},
        agree,
        rounds=chosen.rounds,
        items=STEPS,
        aims=AIMS,
        device=chosen.device,
    )
    report("directpred", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()
