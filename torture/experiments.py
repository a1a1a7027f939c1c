"""The experiments. Each returns what was tried and what came of it, or raises ``Broken``, or ``Skipped`` where the
machine cannot do it."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from ssltheory import data
from ssltheory.book import records
from ssltheory.errors import InputError, RunError

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = "01-linear-staircase"
KEPT = min(ROOT.glob("book/records/*/*/record.npz"), key=lambda path: path.stat().st_size).parent
KILLS, LONGEST_LIFE = 20, 30.0  # seconds
TIMED = {  # chapters and claims that time the machine
    ("08-faster-ssl", "seconds"),
    ("08-faster-ssl", "cost"),
    ("17-projunn", "price"),
    ("18-deep-tensor", "step-time"),
}
LIMIT = 1800.0  # seconds that no command may take


class Broken(AssertionError):
    """Something did not hold."""


class Skipped(Exception):
    """What this machine cannot try."""


def ensure(holds: object, what: str) -> None:
    """Broken, in these words, if it does not hold."""
    if not holds:
        raise Broken(what)


@contextlib.contextmanager
def checkout() -> Iterator[Path]:
    """A fresh copy of package, notebooks and table of contents, in the temporary folder."""
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as place:
        base = Path(place) / "checkout"
        for folder in ("src", "notebooks"):
            leave = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, base / folder, ignore=leave)
        shutil.copy(ROOT / "_toc.yml", base)
        yield base


def start(base: Path, *arguments: str, before: tuple[str, ...] = (), **options) -> subprocess.Popen:
    """``ssltheory …`` of a checkout, in a process group of its own, one thread a process."""
    extra = {"PYTHONPATH": str(base / "src"), "OMP_NUM_THREADS": "1"} | options.pop("env", {})
    return subprocess.Popen(
        [*before, sys.executable, "-m", "ssltheory", *arguments],
        cwd=base,
        env=os.environ | extra,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def end(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; Broken if it hangs."""
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise Broken(f"{process.args} did not end in {LIMIT:.0f} s") from None
    return process.returncode, out, err


def accepted(base: Path) -> dict[str, str]:
    """Checksums of the records below a folder, each of which must be whole, by chapter."""
    found = {}
    for path in sorted(base.rglob("record.json")):
        try:
            found[records.load(path).chapter.id] = json.loads(path.read_bytes())["sha256"]
        except InputError as error:
            raise Broken(f"a record that was accepted is broken: {error}") from error
    return found


def claims_of(base: Path) -> dict[str, list[tuple]]:
    """What was found for each claim of each chapter, without those that time the machine."""
    found = {}
    for path in sorted(base.rglob("record.json")):
        record = records.load(path)
        found[record.chapter.id] = [
            (c.id, repr(c.measured), repr(c.predicted), c.verdict)  # as text: NaN is itself
            for c in record.claims
            if (record.chapter.id, c.id) not in TIMED
        ]
    return found


def ensure_same(found: dict[str, list[tuple]], reference: dict[str, list[tuple]]) -> None:
    """Broken if chapters are missing, or a claim is another than in the undisturbed run."""
    ensure(found.keys() == reference.keys(), f"chapters: {', '.join(found)}")
    for c in found:
        ensure(len(found[c]) == len(reference[c]), f"{c}: {len(found[c])} claims")
    other = [
        f"{c} {a} for {b}"
        for c in found
        for a, b in zip(found[c], reference[c], strict=True)
        if a != b
    ]
    ensure(not other, f"other claims than those of an undisturbed run: {'; '.join(other)}")


def finished(base: Path) -> dict[str, str]:
    """Of ``accepted``, those with their notebook beside them: a run that was killed between the two is made again."""
    notebooks = {path.parent.name for path in base.rglob("notebook.ipynb")}
    return {chapter: found for chapter, found in accepted(base).items() if chapter in notebooks}


_undisturbed: dict[str, list[tuple]] = {}


def undisturbed() -> dict[str, list[tuple]]:
    """The claims of one run of every chapter that nothing disturbs."""
    if not _undisturbed:
        with checkout() as base:
            code, _, err = end(start(base, "run", "--all", "--scale", "tiny", "--jobs", "2"))
            ensure(code == 0, f"the undisturbed run exits {code}: {err[-500:]}")
            _undisturbed.update(claims_of(base / "runs"))
    return _undisturbed


def kill() -> tuple[str, str]:
    """Kill -9, at random moments, of `run --all --scale tiny`."""
    reference, moments = undisturbed(), random.Random(0)
    too_late, counts = 0, []
    with checkout() as base:
        for _ in range(KILLS):
            before = finished(base / "runs")
            if len(before) == len(reference):  # all done: half of it once more
                for chapter in moments.sample(sorted(before), len(before) // 2):
                    shutil.rmtree(base / "runs" / "tiny" / chapter)
                before = finished(base / "runs")
            process = start(base, "run", "--all", "--scale", "tiny", "--jobs", "2")
            time.sleep(moments.uniform(0, LONGEST_LIFE))
            too_late += process.poll() is not None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            after = finished(base / "runs")
            ensure(before.items() <= after.items(), "what was finished has changed")
            counts.append(len(after) - len(before))
        code, _, err = end(start(base, "run", "--all", "--scale", "tiny", "--jobs", "2"))
        ensure(code == 0, f"the run that resumes exits {code}: {err[-500:]}")
        ensure_same(claims_of(base / "runs"), reference)
        ensure(len(finished(base / "runs")) == len(reference), "a chapter is missing")
    return (
        f"{KILLS} kills, 0 to {LONGEST_LIFE:.0f} s after the start ({too_late} came after its end)",
        f"{sum(counts)} chapters finished between kills, each record whole; the run that resumed has the claims of an "
        f"undisturbed one, number for number (but for those that time the machine), in all {len(reference)} chapters",
    )


def two_at_once() -> tuple[str, str]:
    """Two `run --all --scale tiny --jobs 2` at once in one checkout."""
    reference = undisturbed()
    with checkout() as base:
        pair = [start(base, "run", "--all", "--scale", "tiny", "--jobs", "2") for _ in range(2)]
        ends = [end(process) for process in pair]
        for code, _, err in ends:
            ensure(code == 0 and "Traceback" not in err, f"exit {code}: {err[-800:]}")
        accepted(base / "runs")
        ensure_same(claims_of(base / "runs"), reference)
        waits = sum(err.count("waits for another run") for _, _, err in ends)
    return (
        f"both over all {len(reference)} chapters",
        f"both succeed; {waits} times one waited for the other's chapter and took its record; claims as of a run alone",
    )


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A file system of so many bytes."""
    if os.name != "posix" or os.geteuid() != 0:
        raise Skipped("a full disk needs a file system of its own, and mounting one needs root")
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            raise Skipped("no file system can be mounted here")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def full_disk_record() -> tuple[str, str]:
    """No space left while a record is written."""
    record, outcomes = records.load(KEPT), {"written": 0, "refused": 0}
    with small_disk(1 << 20) as disk:
        records.save(disk / "run", record)
        whole = accepted(disk)
        for free in range(0, 40_960, 2048):  # bytes left beside the record that is there
            fill = disk / "fill"
            fill.unlink(missing_ok=True)
            fill.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - free)))
            try:
                records.save(disk / "run", record)
                outcomes["written"] += 1
            except RunError as error:
                ensure("make room" in str(error), f"no remedy in {error}")
                outcomes["refused"] += 1
            ensure(accepted(disk) == whole, "the record that was there is gone")
    ensure(all(outcomes.values()), f"not both ends were seen: {outcomes}")
    ends = []
    for size in (1 << 14, 1 << 17, 1 << 19):
        with checkout() as base, small_disk(size) as disk:
            command = ("run", CHAPTER, "--scale", "tiny", "--out", str(disk))
            code, _, err = end(start(base, *command))
            ensure(code in (0, 1) and "Traceback" not in err, f"exit {code}: {err[-800:]}")
            ensure(code == 0 or "No space left" in err, f"the cause is not named: {err[-800:]}")
            # A failed run may leave a whole record: what fails for want of room can be the notebook or the figure.
            ensure(accepted(disk) or code == 1, "a run that succeeded left no record")
            ends.append(code)
    return (
        "a real file system (tmpfs): 20 amounts of free space under a record that is there, and three runs on 16 kB, "
        "128 kB and 512 kB",
        f"{outcomes['written']} written, {outcomes['refused']} refused with the remedy, the old record always whole; "
        f"the runs exit {', '.join(map(str, ends))}, no traceback",
    )


TRAIN = """
import sys, torch
from pathlib import Path
from ssltheory import losses
from ssltheory.errors import RunError
from ssltheory.train import Checkpoint, Recipe, train

torch.manual_seed(0)
model = torch.nn.Linear(512, 512)
x = torch.randn(64, 512)
def views(generator):
    noise = torch.randn(2, *x.shape, generator=generator)
    return x + 0.1 * noise[0], x + 0.1 * noise[1]
checkpoint = Checkpoint(sys.argv[1], every=0.0) if len(sys.argv) > 1 else None
try:
    recipe = Recipe(steps=12, lr=1e-3, momentum=0.9)
    result = train(model, views, losses.vicreg, recipe, checkpoint=checkpoint)
except RunError as error:
    print(error)
    sys.exit(1)
print(result.losses.tolist())
"""


def full_disk_checkpoint() -> tuple[str, str]:
    """No space left while a checkpoint is written."""

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", TRAIN, *arguments], capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}, timeout=LIMIT,
        )  # fmt: skip
        ensure("Traceback" not in done.stderr, done.stderr[-800:])
        return done.returncode, done.stdout

    code, curve = run()
    ensure(code == 0, curve)
    with small_disk(3 << 20) as disk:  # one checkpoint of 2 MB, not two
        code, said = run(str(disk / "run.pt"))
        ensure(code == 1 and "free some space" in said, f"exit {code}: {said}")
        ensure(not list(disk.glob("*.part")), "half a checkpoint was left behind")
        ensure((disk / "run.pt").is_file(), "the checkpoint before it is gone")
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        code, resumed = run(str(disk / "run.pt"))
        ensure((code, resumed) == (0, curve), "the resumed curve is not the uninterrupted one")
    return (
        "a real file system (tmpfs) that holds one checkpoint of a training, not the next beside it",
        "exit 1 with the remedy, the checkpoint before it kept; with room made, the resumed curve is the whole one",
    )


def archive() -> bytes:
    """CIFAR-10 in torchvision's layout, of two images a file."""
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    names = ["test_batch", *(f"data_batch_{k}" for k in range(1, 6))]
    pixels = {n: rng.integers(0, 256, (2, 3072), dtype=np.uint8) for n in names}
    files = {n: pickle.dumps({"data": pixels[n], "labels": [0, 1]}) for n in names}
    files["batches.meta"] = pickle.dumps({"label_names": list("ab")})
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, blob in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))
    return buffer.getvalue()


@contextlib.contextmanager
def mirror(shelf: Path) -> Iterator[dict]:
    """torchvision's address of CIFAR-10 on loopback, with the checksums of what is served there.

    Yields:
        ``size`` of the archive in bytes, and ``cut``, to be set: after how many of them the connection ends.
    """
    from torchvision.datasets import CIFAR10

    blob, state = archive(), {"cut": None}
    state["size"] = len(blob)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(blob)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(blob[: state["cut"]])

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    def md5(blob: bytes) -> str:
        return hashlib.md5(blob, usedforsecurity=False).hexdigest()

    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        sums = {Path(m.name).name: md5(tar.extractfile(m).read()) for m in tar if m.isfile()}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    changed = {
        "url": f"http://127.0.0.1:{server.server_port}/cifar-10-python.tar.gz",
        "tgz_md5": md5(blob),
        "train_list": [[f"data_batch_{k}", sums[f"data_batch_{k}"]] for k in range(1, 6)],
        "test_list": [["test_batch", sums["test_batch"]]],
        "meta": CIFAR10.meta | {"md5": sums["batches.meta"]},
    }
    kept = {name: getattr(CIFAR10, name) for name in changed}
    place = os.environ.get("SSLTHEORY_DATA")
    os.environ["SSLTHEORY_DATA"] = str(shelf)
    for name, value in changed.items():
        setattr(CIFAR10, name, value)
    try:
        yield state
    finally:
        for name, value in kept.items():
            setattr(CIFAR10, name, value)
        os.environ.pop("SSLTHEORY_DATA")
        if place is not None:
            os.environ["SSLTHEORY_DATA"] = place
        server.shutdown()
        server.server_close()


def refused_and_unused(what: str) -> None:
    """The download ends in a message, and what came of it is no data set."""
    try:
        data.fetch("cifar10")
    except RunError as error:
        ensure("Try again" in str(error), f"{what}: no remedy in {error}")
    else:
        raise Broken(f"{what}: the download was taken for whole")
    try:
        data.find("cifar10")
    except InputError:
        return
    raise Broken(f"{what}: half a download was used")


def cut_download() -> tuple[str, str]:
    """The connection cut during `data fetch cifar10` from loopback."""
    with tempfile.TemporaryDirectory() as place, mirror(Path(place)) as state:
        cuts = [state["size"] * k // 10 for k in range(10)] + [state["size"] - 1]
        for cut in cuts:
            state["cut"] = cut
            refused_and_unused(f"cut after {cut} bytes")
        state["cut"] = None
        ensure(len(data.fetch("cifar10")) == 12, "the download that was not cut is not whole")
    return (
        f"cut after {len(cuts)} different numbers of bytes, then not at all",
        "each cut refused by name with the remedy, nothing of it used; the next download whole and read",
    )


def full_disk_download() -> tuple[str, str]:
    """No space left during a download, and while it is unpacked."""
    sizes = [1 << 12, 1 << 14, 1 << 16, 80 << 10]
    for size in sizes:
        with small_disk(size) as disk, mirror(disk) as state:
            ensure(state["size"] > 1 << 14, "the archive fits everywhere")
            refused_and_unused(f"{size} bytes of disk")
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            ensure(len(data.fetch("cifar10")) == 12, "with room made, the download is not whole")
    return (
        f"a real file system (tmpfs) of {', '.join(f'{size >> 10} kB' for size in sizes)} under the data folder",
        "refused by name with the remedy, nothing of it used; with room made, the same command succeeds",
    )


def read_only() -> tuple[str, str]:
    """A checkout that cannot be written to."""
    with checkout() as base, tempfile.TemporaryDirectory() as outside:
        if os.geteuid() == 0:  # root may write anywhere but to a read-only file system
            script = (
                'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
            )
            before: tuple[str, ...] = ("unshare", "-m", "sh", "-c", script, str(base))
            if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
                raise Skipped("root may write anywhere, and nothing can be mounted read-only here")
            how = "a file system mounted read-only, as root"
        else:
            subprocess.run(["chmod", "-R", "a-w", str(base)], check=True)
            before, how = (), "a folder without the right to write"
        try:
            code, _, err = end(start(base, "run", CHAPTER, "--scale", "tiny", before=before))
            ensure(code == 2, f"exit {code}: {err[-800:]}")
            ensure("cannot write to" in err and err.count("\n") == 1, err[-800:])
            ensure(end(start(base, "list", before=before))[0] == 0, "`list` does not work")
            command = ("run", CHAPTER, "--scale", "tiny", "--out", outside)
            code, _, err = end(start(base, *command, before=before))
            ensure(code == 0, f"with --out elsewhere: exit {code}: {err[-800:]}")
            ensure(len(accepted(Path(outside))) == 1, "with --out elsewhere: no record")
        finally:
            subprocess.run(["chmod", "-R", "u+w", str(base)], check=True)
    return (
        how,
        "exit 2 in one line that names the remedy; `list` works, and so does the run with `--out` elsewhere",
    )


# Not libfaketime: 0.9.10 makes Python's time.sleep fail (its issue 426).
CLOCK = Path(__file__).with_name("clock.c")
DAY = 86_400  # seconds


@contextlib.contextmanager
def clock() -> Iterator[tuple[dict[str, str], Path]]:
    """The environment of processes whose wall clock is behind, and the file that says by how many seconds."""
    compiler = shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        raise Skipped(
            "the clock is set back by a preloaded library: that needs Linux and a C compiler"
        )
    with tempfile.TemporaryDirectory(prefix="torture-") as place:
        library, seconds = Path(place) / "clock.so", Path(place) / "seconds"
        command = [compiler, "-shared", "-fPIC", "-O2", str(CLOCK), "-o", str(library), "-ldl"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            raise Skipped("the library that sets the clock back does not compile here")
        yield {"LD_PRELOAD": str(library), "CLOCK_BACK": str(seconds)}, seconds


def clock_set_back() -> tuple[str, str]:
    """The clock set back between runs, and in the middle of one."""
    command = ("run", CHAPTER, "--scale", "tiny")
    with checkout() as base, clock() as (behind, seconds):
        code, _, err = end(start(base, *command))
        ensure(code == 0, f"exit {code}: {err[-500:]}")
        whole = accepted(base / "runs")
        seconds.write_text(str(400 * DAY))
        code, _, err = end(start(base, *command, env=behind))
        ensure(code == 0 and "reused" in err, f"400 days back: exit {code}: {err[-500:]}")
        ensure(accepted(base / "runs") == whole, "the record has changed")
        code, _, err = end(start(base, *command, "-p", "seed=1", env=behind))
        ensure(code == 0, f"a run 400 days back: exit {code}: {err[-500:]}")
        seconds.write_text("0")
        process = start(base, *command, "-p", "seed=2", env=behind)
        while not list(base.rglob("*seed=2/notebook.part.ipynb")):  # its first cell is done
            ensure(process.poll() is None, "the run ended before its clock was set back")
            time.sleep(0.01)
        seconds.write_text("3600")
        code, _, err = end(process)
        ensure(
            code == 0 and "Traceback" not in err, f"set back in mid-run: exit {code}: {err[-500:]}"
        )
        made = [
            records.load(path).provenance for path in sorted((base / "runs").rglob("record.json"))
        ]
        ensure(len(made) == 3, f"{len(made)} records instead of 3")
        ensure(all(found["seconds"] > 0 for found in made), "a run took no time")
        ends = sorted(datetime.fromisoformat(found["finished"]) for found in made)
        behind_by = [(ends[2] - at).total_seconds() for at in ends[:2]]
        ensure(behind_by[0] > 399 * DAY and 3000 < behind_by[1] < 3600, f"{behind_by} s back")
    return (
        "400 days back between two runs, 400 days back throughout one, an hour back in the middle of another",
        "the record from the future is reused, the others are made; all whole, no duration below 0",
    )


def malformed() -> tuple[str, str]:
    """Malformed parameters, data files and records from the generator of the tests, in larger number."""
    number = 1000
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--timeout=1500", "tests/test_malformed.py"],
        cwd=ROOT,
        env=os.environ | {"SSLTHEORY_EXAMPLES": str(number), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    ensure(done.returncode == 0, done.stdout[-1500:])
    return (
        f"{number} sets of parameters, {number} data files, {2 * number} records",
        "each refused in one line, exit code 2, nothing written, no pickle opened, none longer than 20 s",
    )


def little_memory() -> tuple[str, str]:
    """A limit on memory a little above the footprint after import."""
    try:
        import resource
    except ModuleNotFoundError:
        raise Skipped("there is no such limit here") from None
    status = "print(open('/proc/self/status').read())"
    if not Path("/proc/self/status").exists():
        raise Skipped("the footprint is read from /proc, which is not here")
    with checkout() as base:
        asked = subprocess.run(
            [sys.executable, "-c", f"from ssltheory.book import cli; {status}"],
            capture_output=True,
            text=True,
            check=True,
        )
        footprint = int(re.search(r"VmPeak:\s+(\d+) kB", asked.stdout)[1]) << 10
        ends = []
        for more in (8, 64, 256, 512, 1280, 2048):
            limit = footprint + (more << 20)

            def limited(limit: int = limit) -> None:
                resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

            command = ("run", CHAPTER, "--scale", "tiny")
            code, _, err = end(start(base, *command, preexec_fn=limited))
            ends.append(f"{more} MB more: exit {code}")
            if code == 0 and more > 1024:
                shutil.rmtree(base / "runs")
                continue
            last = err.rsplit("ssltheory: ", 1)[-1]
            ensure(code == 1, f"{more} MB more: exit {code}: {err[-800:]}")
            ensure("memory" in last, f"{more} MB more: the cause is not named: {err[-800:]}")
            ensure(
                "ssltheory/" not in err.split("ssltheory: ")[0],
                f"{more} MB more: a traceback of ours",
            )
            ensure(not accepted(base / "runs"), "a failed run left a record")
    return (
        f"address space limited to the footprint after import, {footprint / 1e9:.1f} GB, and a little more",
        f"{', '.join(ends)}; where it fails, the message names the want of memory, no traceback of ours",
    )


EXPERIMENTS: dict[str, Callable[[], tuple[str, str]]] = {
    "kill": kill,
    "two-at-once": two_at_once,
    "full-disk-record": full_disk_record,
    "full-disk-checkpoint": full_disk_checkpoint,
    "full-disk-download": full_disk_download,
    "cut-download": cut_download,
    "read-only": read_only,
    "clock-set-back": clock_set_back,
    "malformed": malformed,
    "little-memory": little_memory,
}
