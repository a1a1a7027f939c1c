"""What tracking spectra adds to a training: ``python -m benchmarks.tracking``.

Chapter 02 runs by its notebook's own cells, with records at the steps that it chooses and with one at the end.
``--share 10`` trains for a tenth of the steps with a tenth of the records. For the run with fresh views, random images
of the same shape stand in for CIFAR-10.
"""

import json
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.harness import Comparison, arguments, compare, report
from ssltheory import train
from ssltheory.book import registry, scales

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "02-deep-staircase"
COST = 0.05  # of the training time, at most


def functions(out: Path, **parameters) -> dict:
    """The names that the notebook's cells make, up to where they train, with the parameters in the place of the
    defaults."""
    notebook = json.loads((ROOT / "notebooks" / f"{CHAPTER}.ipynb").read_text(encoding="utf-8"))
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        definitions, trains, _ = "".join(cell["source"]).partition("\narrays = launch(")
        exec(definitions, names)
        if trains:
            return names
        if "parameters" in cell["metadata"].get("tags", []):
            names.update(parameters, out=str(out))
    raise ValueError(f"no cell of {CHAPTER} trains")


def cost(name: str, out: Path, parameters: dict, chosen: Namespace) -> Comparison:
    """The training from the small start with its records against one with a single record at the end."""
    whole = parameters.get("steps") or scales.standard(registry.find(CHAPTER), "quick").steps
    steps = max(1, whole // chosen.share)
    names = functions(out, **parameters | {"steps": steps, "device": chosen.device})
    thinned = set(np.linspace(0, steps, max(2, 70 // chosen.share)).round().astype(int))
    method, drawn = names["methods"][0], [names["views_and_probe"](s) for s in names["run"].seeds]

    def training(observe_steps):
        def work():
            descent = partial(_train, at=observe_steps)
            names["train"] = SimpleNamespace(**vars(train) | {"train": descent})
            return names["repetitions"](method, "small", drawn)

        return work

    def agree() -> None:
        """Records leave no trace: the last is the same after all the others as alone."""
        among, alone = training(thinned)(), training({steps})()
        times = among.pop(f"times_{method}_small")
        assert len(times) == len(thinned)
        for quantity, values in among.items():
            assert torch.equal(values[:, -1], alone[quantity][:, -1])

    (comparison,) = compare(
        f"{name}, {len(thinned)} records",
        training(thinned),
        {"one record": training({steps})},
        agree,
        rounds=chosen.rounds,
        items=steps,
        aims={"one record": round(1 / (1 + COST), 3)},
        device=str(names["run"].device),
    )
    low, high = (1 / ratio - 1 for ratio in reversed(comparison.ratio_range))
    median = 1 / comparison.ratio - 1
    print(
        f"{name}: {len(thinned)} records in {steps} steps cost {median:.1%} of the training ({low:.1%} to {high:.1%}); "
        f"aim <= {COST:.0%}: {'met' if median <= COST else 'MISSED'}"
    )
    return comparison


def _train(*arguments, at: set[int], **settings) -> train.Result:
    """``train.train`` with records at these steps in the place of the notebook's."""
    return train.train(*arguments, **settings | {"observe_steps": at})


def main() -> None:
    chosen = arguments("tracking", share=10)
    (kept,) = (ROOT / "book" / "records" / CHAPTER).glob("fresh-views-*/record.json")
    fresh = json.loads(kept.read_text(encoding="utf-8"))["provenance"]["parameters"]
    with tempfile.TemporaryDirectory() as folder:
        stand_in = Path(folder, "random-images.npz")
        random = np.random.default_rng(0)
        fresh["n_images"] = 8000
        n = 2 * fresh["n_images"]  # some are held out
        np.savez(stand_in, x=random.integers(256, size=(n, 32, 32, 3), dtype=np.uint8))
        fresh["dataset"] = str(stand_in)
        print(f"fresh views: random images stand in, {n} of 32 x 32 pixels")
        runs = {"chapter 02, quick": {}, "chapter 02, fresh views": fresh}
        comparisons = []
        for name, parameters in runs.items():
            comparisons.append(cost(name, Path(folder, "run"), parameters, chosen))
    report("tracking", comparisons, chosen.device, chosen.out)


if __name__ == "__main__":
    main()
