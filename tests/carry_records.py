"""Carries the kept records over a change that altered the code they were made with and not what it does. Used once.

    python tests/carry_records.py measure FOLDER      # in a checkout of the commit before, and of the one after
    python tests/carry_records.py carry BEFORE AFTER  # folders of arrays that ``measure`` has written

``measure`` runs the chapter of each kept record with the record's own settings, cut short: counts (steps, images,
widths, repetitions) as at the tiny scale, everything else, methods, networks, augmentations, rates, as in the record,
on the complete CIFAR-10 (``cifar10-exact`` among the data) or on digits. ``carry`` compares the arrays to the bit, but
for those that time the machine, and only where all are equal gives the record today's hashes. The kept sweep of
chapter 06 follows its records.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from ssltheory.book import fingerprint, records

ROOT = Path(__file__).resolve().parent.parent
BEFORE, AFTER = "bd95e08", "234c1bb"
SAYS = (
    "The code of training and of data was restructured after this record was made. With the record's settings cut "
    f"short, all arrays are the same to the bit before ({BEFORE}) and after ({AFTER})."
)


def cut_short(own: dict, tiny: dict) -> dict:
    """A record's settings with the counts of the tiny scale."""
    cut = dict(own)
    for name, value in own.items():
        least = tiny.get(name)
        counted = type(value) is int and type(least) is int and name != "seed"
        if counted and least > 0 and (value == 0 or least < value):
            cut[name] = least
    if own.get("batch_size"):
        cut["batch_size"] = min(own["batch_size"], 32)
    if own.get("ablation_seeds"):
        cut["ablation_seeds"] = 1
    exact = "digits" if own["dataset"] == "digits" else "cifar10-exact"
    return cut | ({"minutes": 0.0} if "minutes" in own else {}) | {"dataset": exact}


def measure(out: Path) -> None:
    """Arrays of every record's chapter with these settings, one file a record; those that do not fit are tiny."""
    from ssltheory.book import registry, scales

    torch.set_num_threads(1)
    for path in sorted((ROOT / "book/records").rglob("record.json")):
        origin = json.loads(path.read_bytes())["provenance"]
        chapter = registry.find(origin["chapter"])
        tiny = scales.values(chapter, "tiny")
        cut = cut_short(origin["parameters"], tiny)
        words = {k: v for k, v in cut.items() if isinstance(v, str) or k in ("seed", "batch_size")}
        for settings in (cut, tiny | words):
            try:
                arrays = run(chapter, settings, out / "runs" / path.parent.name)
            except Exception as error:
                print(f"{path.parent}: {error}")
                continue
            np.savez(out / f"{path.parent.parent.name}--{path.parent.name}.npz", **arrays)
            break


def run(chapter, settings: dict, out: Path) -> dict[str, np.ndarray]:
    """The arrays that the chapter's cells save."""
    names: dict = {}
    for cell in json.loads((ROOT / f"notebooks/{chapter.id}.ipynb").read_bytes())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            exec(compile(source, chapter.id, "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names.update(settings, out=str(out), device="cpu")
        if "run.save(" in source:
            break
    return names["record"].arrays


def carry(before: Path, after: Path) -> int:
    """Write the hashes of the records whose arrays are equal; exit code 1 if some are not."""
    unequal = 0
    for path in sorted((ROOT / "book/records").rglob("record.json")):
        name = f"{path.parent.parent.name}--{path.parent.name}.npz"
        one, other = np.load(before / name), np.load(after / name)
        keys = [key for key in one.files if "seconds" not in key]
        equal = set(one.files) == set(other.files) and all(
            np.array_equal(one[key], other[key], equal_nan=one[key].dtype.kind in "fc")
            for key in keys
        )
        print(f"{name.removesuffix('.npz')}: {len(keys)} arrays {'equal' if equal else 'DIFFER'}")
        unequal += not equal
        if equal:
            content = json.loads(path.read_bytes())
            origin = content["provenance"]
            notebook = ROOT / f"notebooks/{origin['chapter']}.ipynb"
            origin |= {"code": fingerprint.code_hashes(notebook), "carried": SAYS}
            content["sha256"] = records._content_hash(content)
            records.write(path, records._encoded(content))
    for path in sorted((ROOT / "book/sweeps").glob("*/sweep.json")) if not unequal else []:
        content = json.loads(path.read_bytes())
        notebook = ROOT / f"notebooks/{content['chapter']}.ipynb"
        content |= {"code": fingerprint.code_hashes(notebook), "carried": SAYS}
        records.write(path, records._encoded(content))
    return int(unequal > 0)


if __name__ == "__main__":
    what, *folders = sys.argv[1:]
    sys.exit({"measure": measure, "carry": carry}[what](*map(Path, folders)))
