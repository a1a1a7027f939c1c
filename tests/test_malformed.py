"""Malformed input of every kind, from a generator: one message and exit code 2, no traceback, nothing written.

The same examples come at every run; ``SSLTHEORY_EXAMPLES`` asks for more of each kind than an ordinary run takes,
which is for the slow tier.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from conftest import ROOT, command
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from PIL import Image

from ssltheory import data
from ssltheory.book import records, registry, runner
from ssltheory.book.parameters import SCALES, Settings
from ssltheory.errors import LONGEST, InputError

MORE = int(os.environ.get("SSLTHEORY_EXAMPLES", "0"))
pytestmark = [pytest.mark.slow] if MORE else []
CHAPTERS = registry.all_chapters()
KEPT = min(ROOT.glob("book/records/*/*/record.npz"), key=lambda path: path.stat().st_size).parent
MEMORY = 10**8  # bytes that the machine is said to have: a bomb need not be large


def examples(number: int):
    """Hypothesis's settings: as many examples, the same ones each time."""
    return settings(
        max_examples=max(number, MORE),
        derandomize=True,
        deadline=20_000,  # milliseconds: nothing hangs
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refused(folder: Path):
    """What is done inside is refused in one line, and leaves the folder as it was."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError) as caught:
        yield
    message = str(caught.value)
    assert message
    assert message.isprintable(), message
    assert len(message) <= LONGEST + 3
    assert sorted(folder.rglob("*")) == before


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """An empty data folder, and an empty folder to work in."""
    folder = tmp_path_factory.mktemp("malformed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLTHEORY_DATA", str(folder / "shelf"))
        patch.chdir(folder)
        yield folder


# Parameters

ANY_TEXT = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\n", "a\nb", "\0", "\ud800", "é̂", "‮", "x" * 5000, "9" * 5000, "../..", "{}", "%s"]
)
NO_NUMBER = st.sampled_from(["", " ", "abc", "1;2", "0x10", "1e", "٣٫٥x", "--1", "1\n2"])
NO_NUMBER |= st.sampled_from(["nan", "inf", "-inf", "NaN", float("nan"), float("inf"), "9" * 5000])
NO_NUMBER |= st.none() | st.booleans() | st.lists(st.integers(), max_size=3)
NO_NUMBER |= st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
NO_NUMBER |= st.recursive(st.just([]), lambda inner: st.lists(inner, min_size=1, max_size=1))
NO_WHOLE_NUMBER = st.sampled_from(["1.5", "1e2", 2.5, 2**31, 10**30, 10**5000, "2147483648"])
NO_TEXT = st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.text(max_size=3))
NO_DATASET = ANY_TEXT.filter(lambda text: not os.path.exists(text)) | st.sampled_from(
    ["~nobody-of-that-name/x", "/dev/null", "/dev/zero", "x/" * 3000, "cifar10", "stl10"]
)
NO_FOLDER = st.sampled_from(["a\0b", "x" * 5000, "~nobody-of-that-name/x", "/dev/null/x"])


def wrong_value(model: type[Settings], name: str) -> st.SearchStrategy:
    """Values that no parameter of that name takes."""
    special = {"dataset": NO_DATASET, "out": NO_FOLDER}
    if name in special:
        return NO_TEXT | special[name]
    schema = model.model_json_schema()["properties"][name]
    if "enum" in schema or schema["type"] == "string":
        return NO_TEXT | ANY_TEXT.filter(lambda text: text not in schema.get("enum", ()))
    if schema["type"] == "boolean":
        return st.sampled_from(["", "perhaps", 2, 0.5, None, [], "nan"])
    beyond = []
    if "minimum" in schema or "exclusiveMinimum" in schema:
        beyond.append(schema.get("minimum", 0) - 1)
    if "maximum" in schema or "exclusiveMaximum" in schema:
        beyond.append(schema.get("maximum", schema.get("exclusiveMaximum")) + 1)
    values = NO_NUMBER | st.sampled_from(beyond) if beyond else NO_NUMBER
    return values | NO_WHOLE_NUMBER if schema["type"] == "integer" else values


@st.composite
def malformed_requests(draw) -> tuple[str, str, dict]:
    """Chapter, scale and parameters, one of them or more malformed."""
    chapter = draw(st.sampled_from(CHAPTERS))
    model, scale = chapter.parameters, draw(st.sampled_from(("tiny", "quick")))
    known = sorted(model.model_fields)
    match draw(st.sampled_from(["chapter", "scale", "name", *["value"] * 6])):
        case "chapter":
            names = {c.id for c in CHAPTERS}
            return draw(ANY_TEXT.filter(lambda text: text not in names)), scale, {}
        case "scale":
            return chapter.id, draw(ANY_TEXT.filter(lambda text: text not in SCALES)), {}
        case "name":
            wrong = ANY_TEXT | st.sampled_from(known).map(lambda name: f"{name}s")
            name = draw((wrong | st.integers() | st.none()).filter(lambda name: name not in known))
            return chapter.id, scale, {name: draw(NO_NUMBER)}
        case _:
            names = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
            return chapter.id, scale, {name: draw(wrong_value(model, name)) for name in names}


@given(malformed_requests())
@examples(100)
def test_parameters(shelf: Path, request_: tuple[str, str, dict]):
    name, scale, values = request_
    with refused(shelf):
        runner.plan(name, scale, values, shelf / "out")


AWKWARD = [
    ["01", "-p", "n_images=" + "9" * 5000],
    ["02", "-p", "résolution\n=8"],
    ["03", "-p", "seed=[[1], {}]"],
    ["04", "-p", "dataset=~nobody-of-that-name/x"],
    ["05", "-p", "dataset=" + "x" * 5000],
    ["06", "-p", "lr=nan"],
    ["07", "-p", "out=/dev/null/x"],
    ["08", "-p", "steps=1e400"],
    ["09\n", "--scale", "tiny"],
    ["10", "--scale", "ti\tny"],
    ["11", "-p", "dataset=\udcff\udcfe"],
    ["12", "-p", "=" * 1000],
]


#: A process that runs one command line after another, each in a child that has the libraries loaded already.
FORKING = """
import json, os, sys, tempfile
import nbformat
from ssltheory.book import cli, runner

ends = []
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if (child := os.fork()) == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["ssltheory", "run", *arguments, "--out", "out"]
            sys.exit(cli.main())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ends.append([code, *(file.seek(0) or file.read().decode() for file in (out, err))])
print(json.dumps(ends))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_real_command_line(shelf: Path):
    before = sorted(shelf.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        input=json.dumps(AWKWARD),
        capture_output=True,
        text=True,
        cwd=shelf,
        timeout=300,
        check=True,
    )
    ends = json.loads(done.stdout)
    assert len(ends) == len(AWKWARD)
    for code, out, err in ends:
        assert (code, out) == (2, ""), err
        assert err.startswith("ssltheory: ")
        assert err.count("\n") == 1, err
        assert len(err) < 2 * LONGEST
    assert sorted(shelf.rglob("*")) == before


# Data files


class Trap:
    """Unpickled, it writes a file."""

    def __reduce__(self):
        return (Path.touch, (Path("opened"),))


@pytest.fixture(scope="module", autouse=True)
def little_memory():
    """The machine says that it has little memory."""
    real, sizes = os.sysconf, {"SC_PHYS_PAGES": MEMORY, "SC_PAGE_SIZE": 1}
    with mock.patch.object(os, "sysconf", lambda name: sizes.get(name) or real(name)):
        yield


def png(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(side * side, dtype=np.uint8).reshape(side, side)).save(buffer, "png")
    return buffer.getvalue()


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"x": np.zeros((6, 8, 8), np.uint8)} | arrays)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, blob in members.items():
            file.writestr(name.replace("_", "."), blob)
    return buffer.getvalue()


def npy(header: str, body: bytes = bytes(64)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


def shaped(text: str, kind: str = "|u1") -> str:
    return f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {text}}}\n"


def encrypted(blob: bytes) -> bytes:
    """The zip with the flag of encryption at its first member."""
    changed = bytearray(blob)
    changed[6] |= 1
    changed[blob.find(b"PK\1\2") + 8] |= 1
    return bytes(changed)


HEADERS = [
    *("(", "(" * 3000, "{[]: 1}", "-" * 9000 + "1", "x = '''", "\\", "\0", "{}", "[1]", "1" * 5000),
    *(shaped("(-1, 8, 8)"), shaped("(10**99,)"), shaped(f"({10**20},)"), shaped("(30000000000,)")),
    *(shaped("(1, 8, 9)"), shaped("(1,)", "|O"), shaped("(1,)", "zz"), shaped("None")),
]
X = np.zeros((6, 8, 8), np.uint8)
TRAPS = np.array([Trap()], dtype=object)
NPZ = [
            npz(x=TRAPS), npz(y=TRAPS), npz(split=TRAPS), pickle.dumps(Trap()), pickle.dumps(X),
            zipped(x_npy=pickle.dumps(Trap())), zipped(x=b"text"), zipped(y_npy=npy(shaped("(1,)"))),
            zipped(), encrypted(npz()), npz(z=np.zeros(MEMORY, np.uint8)),
            zipped(x_npy=bytes(MEMORY + 1)),
            npz(y=np.zeros(5, int)), npz(y=np.zeros(6)), npz(y=np.full(6, 2**64 - 1, np.uint64)),
            npz(y=np.array(list("abcdef"))), npz(y=np.zeros(6, "m8[s]")),
            npz(index=np.zeros(7, int)), npz(index=np.full(6, np.nan)), npz(index=np.array(["a"] * 6)),
            npz(split=np.array([b"\xff"] * 6)), npz(split=np.zeros(6)), npz(split=np.array(["train"] * 2)),
            *(zipped(x_npy=npy(header)) for header in HEADERS),
]  # fmt: skip
BAD_NPZ = st.one_of(
    st.binary(max_size=200),
    st.integers(0, len(npz()) - 1).map(lambda keep: npz()[:keep]),
    st.sampled_from(["<f4", "<i8", "<U3", "?", "<c8", "M8[s]"]).map(lambda d: npz(x=X.astype(d))),
    st.sampled_from([(), (6,), (0, 8, 8), (6, 8, 8, 2), (6, 8, 8, 0), (1, 1, 8, 8, 3)]).map(
        lambda shape: npz(x=np.zeros(shape, np.uint8))
    ),
    st.sampled_from(NPZ),
)


def member(name: str, blob: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(blob)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, blob


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for info, blob in members:
            file.addfile(info, io.BytesIO(blob))
    return buffer.getvalue()


def bomb() -> bytes:
    """A header that claims an image of a terabyte."""
    return member("a.png", size=10**12)[0].tobuf(tarfile.GNU_FORMAT) + bytes(1024)


WHOLE = member("pets/train/cat/a.png", png())
LONG_NAMES = member("././@LongLink", bytes(1), type=tarfile.GNUTYPE_LONGNAME)
LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
TAR = [
            tarred(), tarred(member("notes.txt", b"hello")), tarred(member("a.png", b"hello")),
            bomb(), tarred(WHOLE, member("b.png", png()[:50])), tarred(LONG_NAMES)[:1024] * 3000,
            tarred(member("a\n\x1b[31m.png", b"hello")), tarred(member("x" * 5000 + ".png", b"-")),
]  # fmt: skip
BAD_TAR = st.one_of(
    st.binary(max_size=2000),
    st.integers(0, 600).map(lambda keep: tarred(WHOLE)[:keep]),
    st.integers(0, 100).map(lambda keep: tarred(WHOLE, mode="w:gz")[:keep]),
    st.sampled_from(["../a.png", "x/../../a.png", "/etc/a.png", "/a.png", "../notes.txt"]).map(
        lambda name: tarred(WHOLE, member(name, png()))
    ),
    st.sampled_from(LINKS).map(
        lambda kind: tarred(WHOLE, member("b.png", type=kind, linkname="/etc/hostname"))
    ),
    st.sampled_from(TAR),
)

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
HUGE = png()[:16] + struct.pack(">II", 60_000, 60_000) + png()[24:]
IMAGES = [POSTSCRIPT, HUGE, b"", b"P6 hello", png()[:-40], pickle.dumps(Trap())]
BAD_IMAGE = st.binary(max_size=100) | st.sampled_from(IMAGES)
BAD_IMAGE |= st.integers(0, len(png()) - 40).map(lambda keep: png()[:keep])
NAMES = st.sampled_from(["a.png", "train/cat/b.JPG", "ü.webp", "c\nd.tif", "e" * 200 + ".ppm"])
BAD_FOLDER = st.dictionaries(NAMES, BAD_IMAGE, max_size=3)


@given(st.data())
@examples(50)
def test_data_files(shelf: Path, draw):
    kind = draw.draw(st.sampled_from(["mine.npz", "mine.tar", "mine.tgz", "mine"]))
    with tempfile.TemporaryDirectory(dir=shelf) as folder, contextlib.chdir(folder):
        path = Path(folder) / kind
        if kind == "mine":
            for name, blob in draw.draw(BAD_FOLDER).items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(blob)
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(draw.draw(BAD_NPZ if kind == "mine.npz" else BAD_TAR))
        with refused(Path(folder)):
            data.load(path, "all")


@pytest.mark.parametrize(("suffix", "blobs"), [(".npz", NPZ), (".tar", TAR), (".png", IMAGES)])
def test_every_named_file(tmp_path: Path, monkeypatch, suffix: str, blobs: list[bytes]):
    """Each of those that are listed above: chance may leave one out."""
    monkeypatch.chdir(tmp_path)
    for blob in blobs:
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(blob)
        with refused(tmp_path):
            data.load(tmp_path if suffix == ".png" else path, "all")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["pipe", "pipe.npz", "pipe.tar"])
def test_what_would_never_end(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / name)
    with refused(tmp_path):
        data.load(tmp_path / name)


def test_file_names_that_are_no_text(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    try:
        Path(os.fsdecode(path)).write_bytes(png())
    except OSError:
        pytest.skip("this file system takes no such name")
    assert len(data.load(tmp_path, "all")) == 1
    Path(os.fsdecode(path)).write_bytes(b"-")
    with refused(tmp_path):
        data.load(tmp_path)


# Records


def rewritten(content: dict, blob: bytes) -> dict[str, bytes]:
    """Both files of a record, with the checksums that belong to them."""
    content |= {"arrays_sha256": hashlib.sha256(blob).hexdigest()}
    content["sha256"] = records._content_hash(content)
    return {"record.json": (json.dumps(content, indent=1) + "\n").encode(), "record.npz": blob}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
PLACES = [("claims",), ("claims", 0), ("provenance",), ("provenance", "data")]
PLACES += [("provenance", name) for name in records.PROVENANCE]
PLACES += [("claims", 0, name) for name in ("measured", "tolerance", "observed", "relation", "id")]


@st.composite
def malformed_records(draw) -> dict[str, bytes]:
    """The files of a record, malformed; in part with checksums that fit."""
    content, blob = (
        json.loads((KEPT / "record.json").read_bytes()),
        (KEPT / "record.npz").read_bytes(),
    )
    files = {"record.json": (KEPT / "record.json").read_bytes(), "record.npz": blob}
    match draw(st.sampled_from(["cut", "garbage", "json", "npz"])):
        case "cut":
            name = draw(st.sampled_from(sorted(files)))
            return files | {name: files[name][: draw(st.integers(0, len(files[name]) - 1))]}
        case "garbage":
            name = draw(st.sampled_from(sorted(files)))
            return files | {name: draw(st.binary(max_size=200))}
        case "json":
            *way, last = draw(st.sampled_from(PLACES))
            at = content
            for step in way:
                at = at[step]
            kind = type(at[last])
            at[last] = draw(JSON.filter(lambda value: not isinstance(value, kind | float | int)))
            return rewritten(content, blob)
        case _:
            return rewritten(content, draw(BAD_NPZ_OF_RECORDS))


BAD_NPZ_OF_RECORDS = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            npz(x=TRAPS), pickle.dumps(Trap()), pickle.dumps({"x": X}), zipped(x=b"text"), npy(shaped("(8,)")),
            encrypted(npz()), npz(z=np.zeros(MEMORY, np.uint8)),
        ]
    ),
    st.sampled_from(HEADERS[:-3]).map(lambda header: zipped(x_npy=npy(header))),
)  # fmt: skip


@given(malformed_records())
@examples(50)
def test_records(shelf: Path, files: dict[str, bytes]):
    with tempfile.TemporaryDirectory(dir=shelf) as folder, contextlib.chdir(folder):
        for name, blob in files.items():
            Path(name).write_bytes(blob)
        with refused(Path(folder)):
            records.load(folder)


@st.composite
def other_arrays(draw) -> dict[str, bytes]:
    """A record whose checksums fit, with one array or more of another shape or type, or missing."""
    content = json.loads((KEPT / "record.json").read_bytes())
    with np.load(KEPT / "record.npz") as file:
        arrays = dict(file)
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, unique=True)):
        shape = draw(st.lists(st.integers(0, 3), max_size=4))
        kind = draw(st.sampled_from(["<f8", "<i8", "<U3", "?", "<c16", "M8[s]", "gone"]))
        del arrays[name]
        if kind != "gone":
            arrays[name] = np.zeros(shape, kind)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return rewritten(content, buffer.getvalue())


@pytest.mark.filterwarnings("ignore")
@given(other_arrays())
@examples(30)
def test_records_of_other_arrays(shelf: Path, files: dict[str, bytes]):
    """Their claims are judged, or the record is broken; nothing else ends ``verify``."""
    with tempfile.TemporaryDirectory(dir=shelf) as folder:
        for name, blob in files.items():
            Path(folder, name).write_bytes(blob)
        before = sorted(os.listdir(folder))
        call = command("verify", "--json", folder)
        (result,) = json.loads(call.out)
        assert call.err == ""
        assert call.code == (1 if result["error"] or "fails" in result["verdicts"] else 0)
        assert sorted(os.listdir(folder)) == before
