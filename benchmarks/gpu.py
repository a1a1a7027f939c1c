"""A whole SSL step on a GPU against what its memory allows: ``python -m benchmarks.gpu --device cuda``.

``train.train`` with ``TwoViews`` on the device, in bfloat16 and channels-last, its defaults there (chapter 02, for its
small start, trains in float32). A ResNet reads and writes each output of a convolution about 19 times a step, over
convolution, BatchNorm and ReLU, forward and backward: 38 bytes, derived, or 28 with BatchNorm and ReLU fused. The
device's copying speed, measured, over these is the bound. ``--smoke`` runs the same on two pairs, on a CPU as well: a
rehearsal, with no verdict.
"""

import statistics
import sys
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from benchmarks.harness import arguments, duration, environment, write
from ssltheory import losses, train
from ssltheory.augmentations import TwoViews
from ssltheory.models import encoders

NETWORKS = {  # depth, stem, pixels; aim in views a second on an H100
    "ResNet-18, CIFAR stem, 32 px": (18, "cifar", 32, 50_000),
    "ResNet-50, ImageNet stem, 96 px": (50, "imagenet", 96, 20_000),
}
BYTES = {"eager": 38, "fused": 28}  # of traffic for each output of a convolution
SHARE = 0.10  # of a step that the augmentations may take
PAIRS, STEPS = 256, 30
LOSS = partial(losses.barlow_twins, lambda_=1.0, normalize=False)  # chapter 02's


def conv_outputs(encoder: nn.Module, size: int) -> int:
    """Numbers that the convolutions put out for one view."""
    counts: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: counts.append(output.numel()))
        for layer in encoder.modules()
        if isinstance(layer, _ConvNd)
    ]
    with encoders.measuring(encoder):
        encoder(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return sum(counts)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "minimum": min(values), "maximum": max(values)}


def measure(
    depth: int, stem: str, size: int, pairs: int, steps: int, large: Tensor, rounds: int
) -> dict[str, object]:
    """Copying, the step and the augmentations in turn, round after round."""
    device = str(large.device)
    encoder = encoders.resnet(depth, stem)
    outputs = conv_outputs(encoder, size)
    head = encoders.projector((encoder.out_features, 2048, 64))
    model = nn.Sequential(encoder, head).to(device)
    x = torch.randint(0, 256, (16 * pairs, 3, size, size), dtype=torch.uint8, device=device)
    augment, generator = TwoViews(size), torch.Generator(device).manual_seed(0)
    views = train.augmented(x, augment, pairs)
    recipe = train.Recipe(steps=steps, lr=1e-4)
    other = torch.empty_like(large)

    def descend() -> None:  # the last loss, a forward pass more, counts as part of the steps
        train.train(model, views, LOSS, recipe, amp=True, observe_steps=[])

    work = {
        "copy": lambda: other.copy_(large),
        "step": descend,
        "augmentations": lambda: augment(x[:pairs], generator),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for i in range(rounds + 1):
        for name, call in work.items():
            repeats = 1 if name == "step" else steps
            taken = duration(call, repeats, device) / (steps if name == "step" else 1)
            if i:  # the first round warms
                seconds[name].append(taken)
    bandwidth = 2 * large.nbytes / statistics.median(seconds["copy"])
    rate = [2 * pairs / t for t in seconds["step"]]
    bounds = {name: bandwidth / (outputs * traffic) for name, traffic in BYTES.items()}
    return {
        "conv_outputs": outputs,
        "pairs": pairs,
        "views_a_second": spread(rate),
        "copy_bytes_a_second": bandwidth,
        "bounds": bounds,
        "share_of_bound": {name: statistics.median(rate) / bound for name, bound in bounds.items()},
        "augmentations_share": spread(
            [a / t for a, t in zip(seconds["augmentations"], seconds["step"], strict=True)]
        ),
    }


def main() -> None:
    chosen = arguments("gpu", smoke=False)
    on_gpu = torch.device(chosen.device).type == "cuda" and torch.cuda.is_available()
    if not on_gpu and not chosen.smoke:
        print(
            "benchmarks.gpu needs a GPU: --device cuda where there is one, or --smoke to rehearse",
            file=sys.stderr,
        )
        sys.exit(2)
    pairs, steps, megabytes = (2, 1, 8) if chosen.smoke else (PAIRS, STEPS, 1024)
    large = torch.zeros(megabytes << 20, dtype=torch.uint8, device=chosen.device)
    where = environment(chosen.device)
    print(f"{where['device']}, {pairs} pairs a step")
    found = {}
    for name, (*network, aim) in NETWORKS.items():
        found[name] = seen = measure(*network, pairs, steps, large, chosen.rounds)
        rate, share = (seen[key]["median"] for key in ("views_a_second", "augmentations_share"))
        seen["aims"] = {"views_a_second": aim, "augmentations_share": SHARE, "device": "H100"}
        met = {"views_a_second": rate >= aim, "augmentations_share": share <= SHARE}
        seen["met"] = None if chosen.smoke else met

        def verdict(key: str, seen=seen) -> str:
            return "a rehearsal" if chosen.smoke else "met" if seen["met"][key] else "MISSED"

        print(
            f"{name}: {seen['conv_outputs'] / 1e6:.2f} M conv outputs a view; "
            f"copying {seen['copy_bytes_a_second'] / 1e12:.3g} TB/s"
        )
        print(
            f"  {rate:,.0f} views a second ({seen['views_a_second']['minimum']:,.0f} to "
            f"{seen['views_a_second']['maximum']:,.0f}); aim on an H100 >= {aim:,}: "
            f"{verdict('views_a_second')}"
        )
        for kind, bound in seen["bounds"].items():
            print(f"  {seen['share_of_bound'][kind]:.1%} of the {kind} bound, {bound:,.0f}")
        print(
            f"  augmentations {share:.1%} of a step; aim <= {SHARE:.0%}: "
            f"{verdict('augmentations_share')}"
        )
    document = {"benchmark": "gpu", "smoke": chosen.smoke, "environment": where}
    write(document | {"networks": found}, chosen.out)


if __name__ == "__main__":
    main()
