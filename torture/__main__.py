"""Runs the experiments, or those that are named, and writes what came of each to ``book/torture.json``."""

import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from ssltheory import __version__
from ssltheory.book import provenance
from torture import experiments

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "book" / "torture.json"


def place() -> dict:
    """Where and when an experiment is made."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        **provenance.commit(ROOT),
        "device": provenance.device_name(torch.device("cpu")),
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def main(names: list[str]) -> int:
    """0 if nothing broke, 1 if something did, 2 for a name that no experiment has."""
    known = experiments.EXPERIMENTS
    if unknown := set(names) - set(known):
        print(f"no experiment {', '.join(unknown)}: choose of {', '.join(known)}", file=sys.stderr)
        return 2
    broken = []
    for name in names or known:
        print(f"{name} …", flush=True)
        started, where = time.monotonic(), place()
        try:
            verdict, (tried, outcome) = "held", known[name]()
        except experiments.Skipped as error:
            verdict, tried, outcome = "skipped", "", str(error)
        except experiments.Broken as error:
            verdict, tried, outcome = "broken", "", str(error)
            broken.append(name)
        before = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
        rows = {row["experiment"]: row for row in before.get("experiments", [])}
        rows[name] = {
            "experiment": name,
            "what": known[name].__doc__.splitlines()[0],
            "tried": tried,
            "outcome": outcome,
            "verdict": verdict,
            "seconds": round(time.monotonic() - started),
            "where": where,
        }
        print(f"{name}: {verdict}. {tried}. {outcome} ({rows[name]['seconds']} s)", flush=True)
        table = {"experiments": [rows[key] for key in known if key in rows]}
        TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
