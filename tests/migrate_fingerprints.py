"""Gives the kept records and sweeps the fingerprints of today's rules, once. To be removed when that is done.

    python tests/migrate_fingerprints.py [--check]

A record is given one only if its code at its own commit is what the record says by the old rules, and means by the new
rules what today's code means. Then nothing but ``code`` is written anew, and the old hashes stay as ``code_v1``; the
arrays are not touched. Exit code 1 if a record is left as it was.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from ssltheory.book import fingerprint, records

ROOT = Path(__file__).resolve().parent.parent
OLD = "import json, sys; from pathlib import Path; from ssltheory import fingerprint as f; "
OLD += "print(json.dumps(f.code_hashes(Path(sys.argv[1]))))"


def migrate(path: Path, trees: Path, check: bool) -> bool:
    """Write a record's or a sweep's fingerprint anew, if it may be, and say so in a line."""
    content = json.loads(path.read_bytes())
    origin = content.get("provenance", content)  # a sweep's own
    commits = [c["commit"] for c in origin.get("commits", [origin])]
    notebook = f"notebooks/{origin['chapter']}.ipynb"
    today = fingerprint.code_hashes(ROOT / notebook)
    old = origin.get("code_v1", origin["code"])
    differences = []
    for tree in (tree_at(trees, commit) for commit in commits):
        if by_old_rules(tree, notebook) != old:
            differences.append("the record's hashes are not those of its commit")
        then = fingerprint.code_hashes(tree / notebook, tree / "src/ssltheory")
        differences += fingerprint.changes(then, today)
    name = path.parent.relative_to(ROOT / "book")
    print(f"{name} | {', '.join(c[:8] for c in commits)} | {', '.join(differences) or 'equal'}")
    if not differences and not check:
        origin |= {"code": today, "code_v1": old}
        if origin is not content:
            content["sha256"] = records._content_hash(content)
        records.write(path, records._encoded(content))
    return not differences


def tree_at(trees: Path, commit: str) -> Path:
    """The package and the notebooks as they were at a commit."""
    tree = trees / commit
    if not tree.exists():
        command = ["git", "-C", str(ROOT), "archive", commit, "src", "notebooks"]
        blob = subprocess.run(command, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
            archive.extractall(tree, filter="data")
    return tree


@cache
def by_old_rules(tree: Path, notebook: str) -> dict[str, str]:
    """What the fingerprint of that commit says of its notebook."""
    command = [sys.executable, "-c", OLD, str(tree / notebook)]
    environment = {"PYTHONPATH": str(tree / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """From the shell."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    kept = ROOT / "book"
    paths = sorted(kept.glob("records/**/record.json")) + sorted(kept.glob("sweeps/*/sweep.json"))
    with tempfile.TemporaryDirectory() as trees:
        equal = [migrate(path, Path(trees), check) for path in paths]
    return int(not all(equal))


if __name__ == "__main__":
    sys.exit(main())
