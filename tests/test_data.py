"""Data sets: what is read is what is there, and every fault is one message with its remedy."""

import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from ssltheory import data
from ssltheory.data import official
from ssltheory.errors import InputError, RunError

RNG = np.random.default_rng(0)
CLASSES = ("cat", "dog")


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch) -> Path:
    """An empty data folder; the working folder is empty, too."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("SSLTHEORY_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def pixels(n: int, side: int = 8, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def encoded(image: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


def make_folder(path: Path, parts: dict[str, int], side: int = 8, form: str = "png") -> Path:
    """An image folder: ``{"train/cat": 3}`` makes three images there."""
    for part, n in parts.items():
        (path / part).mkdir(parents=True, exist_ok=True)
        for k, image in enumerate(pixels(n, side)):
            (path / part / f"{k:03}.{form}").write_bytes(
                encoded(image, form.replace("jpg", "jpeg"))
            )
    return path


def make_tar(path: Path, folder: Path, parts: tuple[str, ...] = ("",)) -> Path:
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w") as tar:
        for part in parts:
            tar.add(folder / part, f"{folder.name}/{part}")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refused(name, *words: str, **options) -> None:
    """``load`` refuses, in one message that holds these words."""
    with pytest.raises(InputError) as caught:
        data.load(name, **options)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert "\n" not in message


# What can be read


def test_digits():
    images = data.load("digits", split="all")
    assert images.x.shape == (1797, 1, 8, 8)
    assert images.x.dtype == torch.uint8
    assert (images.x.min(), images.x.max()) == (0, 255)
    assert sorted(set(images.y.tolist())) == list(range(10))
    assert images.name == "digits"
    assert images.to("cpu").sha256 == images.sha256
    assert len(data.load("digits")) + len(data.load("digits", "test")) == 1797


def test_npz_with_images_alone(tmp_path: Path):
    x = pixels(10)
    np.savez(tmp_path / "mine.npz", x=x)
    images = data.load(tmp_path / "mine.npz", split="all")
    assert (images.x.permute(0, 2, 3, 1).numpy() == x).all()
    assert set(images.y.tolist()) == {-1}
    assert (images.name, images.sha256) == ("mine", sha256(tmp_path / "mine.npz"))
    assert len(data.load(tmp_path / "mine.npz", split="test")) == 2  # 80 : 20
    np.savez(tmp_path / "grey.npz", x=x[..., 0])
    assert data.load("grey.npz", split="all").x.shape == (10, 1, 8, 8)


@pytest.mark.parametrize("kind", [str, bytes])
def test_npz_split(tmp_path: Path, kind):
    split = np.array(["train", "val", "test", "train"]).astype("U" if kind is str else "S")
    np.savez(tmp_path / "mine.npz", x=pixels(4), y=np.arange(4), split=split)
    assert data.load("mine.npz", "train").y.tolist() == [0, 3]
    assert data.load("mine.npz", "test").y.tolist() == [1, 2]
    assert data.load("mine.npz", "train+test").y.tolist() == [0, 1, 2, 3]


def test_npz_index_in_cifar_order(tmp_path: Path):
    index = np.array([0, 49_999, 50_000, 59_999])
    np.savez(tmp_path / "mine.npz", x=pixels(4), y=np.arange(4, dtype=np.uint8), index=index)
    assert data.load("mine.npz", "train").y.tolist() == [0, 1]
    assert data.load("mine.npz", "test").y.tolist() == [2, 3]
    assert data.load("mine.npz", "test").y.dtype == torch.int64


def test_folder_with_a_split(tmp_path: Path):
    parts = {f"{split}/{name}": n for split, n in (("train", 3), ("val", 2)) for name in CLASSES}
    folder = make_folder(tmp_path / "pets", parts)
    train, test = data.load(folder), data.load(folder, "test")
    assert (train.y.tolist(), test.y.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1])
    assert train.name == "pets"
    first = np.asarray(Image.open(folder / "train/cat/000.png"))
    assert (train.x[0].permute(1, 2, 0).numpy() == first).all()


def test_folder_without_a_split_is_split_the_same_each_time(tmp_path: Path):
    folder = make_folder(tmp_path / "pets", dict.fromkeys(CLASSES, 10))
    train, again = data.load(folder, seed=1), data.load(folder, seed=1)
    test = data.load(folder, "test", seed=1)
    assert torch.equal(train.x, again.x)
    assert (len(train), len(test)) == (16, 4)
    both = torch.cat([train.x, test.x]).flatten(1)
    assert len(both.unique(dim=0)) == 20
    assert not torch.equal(train.x, data.load(folder, seed=2).x)
    assert data.find(folder).sha256 == train.sha256 == test.sha256


def test_flat_folder_has_no_labels(tmp_path: Path):
    folder = make_folder(tmp_path / "mine", {"": 5})
    assert data.load(folder, "all").y.tolist() == [-1] * 5


def test_folders_hash_follows_names_and_bytes(tmp_path: Path):
    folder = make_folder(tmp_path / "mine", {"": 3})
    before = data.find(folder).sha256
    (folder / "notes.txt").write_text("not an image")
    assert data.find(folder).sha256 == before
    (folder / "000.png").rename(folder / "zzz.png")
    renamed = data.find(folder).sha256
    assert renamed != before
    (folder / "zzz.png").write_bytes((folder / "001.png").read_bytes())
    assert data.find(folder).sha256 not in (before, renamed)


def test_tar_of_a_folder(tmp_path: Path):
    folder = make_folder(tmp_path / "pets", {"train/cat": 2, "train/dog": 2, "test/cat": 1})
    tar = make_tar(tmp_path / "pets.tar", folder)
    images = data.load(tar)
    assert torch.equal(images.x, data.load(folder).x)
    assert torch.equal(images.y, data.load(folder).y)
    assert (images.name, images.sha256) == ("pets", sha256(tar))


def test_several_tars_of_one_name(tmp_path: Path, shelf: Path):
    parts = {f"train/{name}": 2 for name in CLASSES} | {f"val/{name}": 1 for name in CLASSES}
    folder = make_folder(tmp_path / "pets", parts)
    make_tar(shelf / "pets-train-a.tar.xz", folder, ("train/cat",))
    make_tar(shelf / "pets-train-b.tar.xz", folder, ("train/dog",))
    val = make_tar(shelf / "pets-val.tar.xz", folder, ("val",))
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")  # where no folder "pets" lies
    images = data.load("pets", "all")
    assert images.name == "pets"
    assert torch.equal(images.x, data.load(folder, "all").x)
    assert data.load("pets", "test").y.tolist() == [0, 1]
    assert "pets" in data.names()
    part = data.find("pets-val")  # one of them alone is called what it is
    assert (part.name, part.sha256, len(part)) == ("pets-val", sha256(val), 2)


def test_bare_names(tmp_path: Path, shelf: Path):
    np.savez(shelf / "arrays.npz", x=pixels(3))
    np.savez(shelf / "kept-train.npz", x=pixels(3))
    make_folder(shelf / "pets-train", {"": 3})
    with tarfile.open(shelf / "packed.tgz", "w:gz") as tar:
        tar.add(shelf / "pets-train", "packed")
    (shelf / "cifar-10-python.tar.gz").touch()  # what torchvision downloads is no data set
    assert data.names()[4:] == ["arrays", "kept-train", "packed", "pets-train"]
    for name in data.names()[4:]:
        assert (data.find(name).name, len(data.find(name))) == (name, 3)
    assert data.find("arrays.npz").name == "arrays"


def test_a_name_is_never_a_path(tmp_path: Path):
    folder = make_folder(tmp_path / "deep" / "mine", {"": 3})
    os.chdir(folder)
    (tmp_path / "link").symlink_to(folder)
    for path, name in (
        (folder, "mine"),
        (".", "mine"),
        (f"{folder}/", "mine"),
        (tmp_path / "link", "link"),
    ):
        assert data.find(path).name == name
    os.chdir(folder.parent)
    assert data.find("../deep/mine").name == "mine"


def test_draw():
    chosen = data.load("digits", "all", n=20, seed=3)
    assert torch.equal(chosen.x, data.load("digits", "all", n=20, seed=3).x)
    assert torch.equal(chosen.x[:5], data.load("digits", "all", n=5, seed=3).x)
    assert not torch.equal(chosen.x, data.load("digits", "all", n=20, seed=4).x)
    assert len(data.load("digits", "all", n=1797).x.flatten(1).unique(dim=0)) == len(
        data.load("digits", "all").x.flatten(1).unique(dim=0)
    )
    assert chosen.sha256 == data.find("digits").sha256


def test_resolution_takes_the_central_square(tmp_path: Path):
    wide = np.zeros((8, 16, 3), dtype=np.uint8)
    wide[:, 4:12] = 200  # the central square
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.png").write_bytes(encoded(wide, "png"))
    (tmp_path / "mine/b.png").write_bytes(encoded(wide.transpose(1, 0, 2), "png"))
    images = data.load("mine", "all", resolution=4)
    assert images.x.shape == (2, 3, 4, 4)
    assert (images.x == 200).all()
    assert data.load("digits", "all", n=2, resolution=4).x.shape == (2, 1, 4, 4)


def test_training_split():
    """Without labels, STL-10's unlabelled images count, too."""
    assert data.training_split("stl10") == "train+unlabeled"
    assert data.training_split("cifar10") == data.training_split("photos") == "train"


# Faults


def test_unknown_name(shelf: Path):
    refused("digit", "unknown", "did you mean 'digits'?", "SSLTHEORY_DATA")
    np.savez(shelf / "arrays.npz", x=pixels(3))
    refused("array", "did you mean 'arrays'?")
    refused("", "give the path")


def test_missing_path(tmp_path: Path):
    refused(tmp_path / "nowhere", "no data at", "give the path")
    refused("nowhere/mine.npz", "no data at", "give the path")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": pixels(3)}, ("no array 'x'", "it has images", "save the images as x")),
        ({}, ("no array 'x'", "it has none")),
        ({"x": pixels(3).astype(np.float32)}, ("float32", "must be uint8")),
        ({"x": pixels(3)[:, 0, 0]}, ("uint8 (3, 3)", "must be uint8 (n, h, w)")),
        ({"x": pixels(0)}, ("not empty",)),
        ({"x": pixels(3).transpose(0, 3, 1, 2)}, ("8 channels", "must be 1 or 3")),
        ({"x": pixels(3), "y": np.arange(2)}, ("3 images but 2 entries of y",)),
        ({"x": pixels(3), "index": np.arange(4)}, ("3 images but 4 entries of split or index",)),
        ({"x": pixels(3), "y": np.ones(3)}, ("'y'", "labels must be integers")),
        ({"x": np.array([None, "code"], dtype=object)}, ("damaged or not an .npz", "np.savez, or copy it again")),
    ],
)  # fmt: skip
def test_wrong_npz(tmp_path: Path, arrays, words):
    np.savez(tmp_path / "mine.npz", **arrays)
    refused("mine.npz", "mine.npz", *words)


def test_npz_damaged_anywhere(tmp_path: Path):
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, x=pixels(20), y=np.arange(20))
    whole = path.read_bytes()
    for keep in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        refused(path, "mine.npz is damaged", "copy it again")
    for at in range(60, 600, 20):  # inside the compressed images
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        refused(path, "mine.npz is damaged", "copy it again")
    path.write_text("not an archive")
    refused(path, "mine.npz is damaged", "copy it again")
    with open(path, "wb") as file:
        np.save(file, pixels(3))
    refused(path, "mine.npz is damaged", "copy it again")


@pytest.mark.parametrize("suffix", [".jpg", ".ppm", ".png"])
@pytest.mark.parametrize("text", ["hello", "P6 hello"])
def test_text_named_as_an_image(tmp_path: Path, suffix: str, text: str):
    folder = make_folder(tmp_path / "mine", {"": 2})
    (folder / f"note{suffix}").write_text(text)
    refused("mine", f"note{suffix} in mine is not an image", "repair or remove it")


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_truncated_image_is_found_when_decoded(tmp_path: Path, form: str):
    folder = make_folder(tmp_path / "mine", {"": 3}, side=64, form=form)
    path = folder / f"001.{form}"
    path.write_bytes(path.read_bytes()[:-400])
    refused("mine", f"001.{form} is damaged", "repair or remove it", split="all")


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz"])
def test_damaged_tar(tmp_path: Path, suffix: str):
    folder = make_folder(tmp_path / "mine", {"": 20})
    path = tmp_path / f"packed{suffix}"
    with tarfile.open(path, "w:" + suffix[5:]) as tar:
        tar.add(folder, "mine")
    whole = path.read_bytes()
    middle = len(whole) // 2
    for blob in (whole[: middle + 100], whole[:100], b"", b"not a tar" * 100):
        path.write_bytes(blob)
        refused(path, f"{path.name} is damaged", "copy it again")
    if suffix != ".tar":  # a plain tar has no checksum of its contents
        path.write_bytes(whole[:middle] + bytes(50) + whole[middle + 50 :])
        refused(path, "is damaged")


def test_unreadable_file(tmp_path: Path, monkeypatch):
    make_folder(tmp_path / "mine", {"": 2})
    np.savez(tmp_path / "mine.npz", x=pixels(2))

    def locked(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", locked)
    refused("mine", "000.png cannot be read (Permission denied)")
    refused("mine.npz", "Permission denied")


def test_other_faults(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    refused("empty", "no images in empty", ".png")
    (tmp_path / "notes.txt").write_text("hello")
    refused("notes.txt", "neither an .npz, a tar nor a folder")
    refused("digits", "n=1798", "1797 images", "take 1 to 1797", split="all", n=1798)
    refused("digits", "n=0", "take 1 to", n=0)
    refused("digits", "no split 'unlabeled'", "test, train, all", split="unlabeled")
    refused("digits", "no split 'extra'", split="train+extra")
    refused("digits", "resolution=0", resolution=0)
    folder = make_folder(tmp_path / "mixed", {"": 1})
    (folder / "large.png").write_bytes(encoded(pixels(1, 9)[0], "png"))
    refused("mixed", "differ in size", "give a resolution", split="all")
    assert data.find("mixed").shape is None


# torchvision's data sets: checksums are its own, so that a look-alike is refused


def fake_cifar10(shelf: Path) -> None:
    folder = shelf / "cifar-10-batches-py"
    folder.mkdir()
    batch = {"data": pixels(2, 32).reshape(2, -1), "labels": [0, 1]}
    for name in ("test_batch", *(f"data_batch_{k}" for k in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("ab")}))


def fake_stl10(shelf: Path) -> None:
    folder = shelf / "stl10_binary"
    folder.mkdir()
    for name in ("train", "test", "unlabeled"):
        (folder / f"{name}_X.bin").write_bytes(pixels(2, 96).tobytes())
        (folder / f"{name}_y.bin").write_bytes(bytes([1, 2]))
    (folder / "class_names.txt").write_text("a\nb\n")


def fake_imagenette(shelf: Path) -> None:
    parts = {
        f"{split}/{wnid}": 1
        for split in ("train", "val")
        for wnid in datasets.Imagenette._WNID_TO_CLASS
    }
    make_folder(shelf / "imagenette2-160", parts, form="jpg")
    for image in list(shelf.rglob("*.jpg")):
        image.rename(image.with_suffix(".JPEG"))


FAKES = {"cifar10": fake_cifar10, "stl10": fake_stl10, "imagenette": fake_imagenette}


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def make_cifar10(shelf: Path, monkeypatch) -> tuple[np.ndarray, list[int]]:
    """Both versions of three images a batch, with their sums as if published; the images and labels."""
    python, binary = (shelf / f"cifar-10-batches-{version}" for version in ("py", "bin"))
    python.mkdir()
    binary.mkdir()
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    x, y = pixels(18, 32), RNG.integers(0, 10, 18, dtype=np.uint8)
    planes = x.transpose(0, 3, 1, 2).reshape(18, -1)
    for k, name in enumerate(names):
        own = slice(3 * k, 3 * k + 3)
        batch = {"data": planes[own], "labels": y[own].tolist()}
        (python / name).write_bytes(pickle.dumps(batch))
        np.concatenate([y[own, None], planes[own]], 1).tofile(binary / f"{name}.bin")
    (python / "batches.meta").write_bytes(pickle.dumps({"label_names": list("ab")}))
    lists = [[name, md5(python / name)] for name in names]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", lists[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", lists[5:])
    meta = datasets.CIFAR10.meta | {"md5": md5(python / "batches.meta")}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    monkeypatch.setattr(
        official, "CIFAR10_MD5", {path.name: md5(path) for path in sorted(binary.iterdir())}
    )
    return x, y.tolist()


def test_both_versions_of_cifar10_are_the_same_images(shelf: Path, monkeypatch):
    x, y = make_cifar10(shelf, monkeypatch)
    python = data.load("cifar10", "all")
    assert data.find("cifar10").version == "python version"
    (shelf / "cifar-10-batches-py").rename(shelf / "elsewhere")
    binary = data.load("cifar10", "all")
    assert data.find("cifar10").version == "binary version"
    for images in (python, binary):
        assert (images.x.permute(0, 2, 3, 1).numpy() == x).all()
        assert images.y.tolist() == y
        assert images.name == "cifar10"
    content = hashlib.sha256(x.tobytes() + np.array(y, dtype=np.int64).tobytes()).hexdigest()
    assert python.sha256 == binary.sha256 == content
    assert data.load("cifar10", "train").y.tolist() == y[:15]
    assert data.load("cifar10", "test").y.tolist() == y[15:]
    assert "cifar-10-batches-bin" not in data.names()


def test_the_version_of_cifar10_that_is_whole_is_read(shelf: Path, monkeypatch):
    x, _ = make_cifar10(shelf, monkeypatch)
    assert data.find("cifar10").version == "python version"
    (shelf / "cifar-10-batches-py/test_batch").unlink()
    assert data.find("cifar10").version == "binary version"
    assert len(data.fetch("cifar10")) == len(x)  # nothing to download
    (shelf / "cifar-10-batches-bin/data_batch_2.bin").unlink()
    refused("cifar10", "data_batch_2.bin is missing", "cifar-10-batches-bin", "run `ssltheory data")
    (shelf / "cifar-10-batches-bin").rename(shelf / "elsewhere")
    refused("cifar10", "test_batch is missing", "cifar-10-batches-py", "run `ssltheory data")


def test_damaged_binary_version_of_cifar10(shelf: Path, monkeypatch):
    make_cifar10(shelf, monkeypatch)
    (shelf / "cifar-10-batches-py").rename(shelf / "elsewhere")
    path = shelf / "cifar-10-batches-bin/data_batch_4.bin"
    whole = path.read_bytes()
    for blob in (whole[:-1], whole + b"0", b"", whole[:99] + bytes([whole[99] ^ 1]) + whole[100:]):
        path.write_bytes(blob)
        fault = "data_batch_4.bin does not have its published MD5 sum"
        refused("cifar10", fault, f"remove {path.parent}", "run `ssltheory data fetch cifar10`")
    path.unlink()
    refused("cifar10", "data_batch_4.bin is missing", f"remove {path.parent}")
    path.mkdir()
    refused("cifar10", "data_batch_4.bin cannot be read", f"remove {path.parent}")
    path.rmdir()
    path.write_bytes(whole)
    assert data.find("cifar10").version == "binary version"


def test_incomplete_stl10(shelf: Path, monkeypatch):
    fake_stl10(shelf)
    base = shelf / "stl10_binary"
    for part, names in (
        ("train_list", ("train_X", "train_y", "unlabeled_X")),
        ("test_list", ("test_X", "test_y")),
    ):
        sums = [[f"{name}.bin", md5(base / f"{name}.bin")] for name in names]
        monkeypatch.setattr(datasets.STL10, part, sums)
    assert len(data.load("stl10", "all")) == 6
    whole = (base / "unlabeled_X.bin").read_bytes()
    (base / "unlabeled_X.bin").write_bytes(whole[:-1])
    refused("stl10", "unlabeled_X.bin does not have its", f"remove {base}", "run `ssltheory data")
    (base / "unlabeled_X.bin").unlink()
    refused(
        "stl10", "unlabeled_X.bin is missing", f"remove {base}", "run `ssltheory data fetch stl10`"
    )


@pytest.mark.parametrize("name", FAKES)
def test_look_alike_is_refused(name: str, shelf: Path):
    refused(name, f"{name} is not in", f"run `ssltheory data fetch {name}`", "SSLTHEORY_DATA")
    FAKES[name](shelf)
    refused(name, name, "remove", official.TORCHVISION[name], f"run `ssltheory data fetch {name}`")


@pytest.fixture
def broken_mirror(monkeypatch):
    """torchvision's addresses, answered by this machine with an archive that is not the right one."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(1000))

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/archive.tar.gz"
    monkeypatch.setattr(datasets.CIFAR10, "url", url)
    monkeypatch.setattr(datasets.STL10, "url", url)
    archives = {size: (url, md5) for size, (_, md5) in datasets.Imagenette._ARCHIVES.items()}
    monkeypatch.setattr(datasets.Imagenette, "_ARCHIVES", archives)
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", FAKES)
def test_a_failed_download_leaves_nothing_to_be_used(name: str, broken_mirror, shelf: Path):
    for _ in range(2):  # answered wrongly, then not at all
        with pytest.raises(RunError, match=f"{name} could not be fetched .* Try again"):
            data.fetch(name)
        refused(name, f"ssltheory data fetch {name}")
        broken_mirror.shutdown()
        broken_mirror.socket.close()


def test_fetch():
    assert len(data.fetch("digits")) == 1797
    with pytest.raises(InputError, match="choose one of cifar10, stl10, imagenette"):
        data.fetch("mnist")


# Real images, where there are any

REAL = os.environ.get("SSLTHEORY_DATA", "")
#: Hash of CIFAR-10's pixels and labels.
CIFAR10 = "679a0a54bc26fa5425a8717c376404f30e2982dcca8ebd67a5e0ea32155044bf"


@pytest.fixture
def real(monkeypatch):
    if not REAL:
        pytest.skip("SSLTHEORY_DATA is not set: no real images to read")
    monkeypatch.setenv("SSLTHEORY_DATA", REAL)

    def find(name: str) -> str:
        there = [Path(REAL, "cifar-10-batches-py"), Path(REAL, official.CIFAR10_BINARY)]
        if name not in data.names() or (name == "cifar10" and not any(map(Path.exists, there))):
            pytest.skip(f"{name} is not in SSLTHEORY_DATA")
        return name

    return find


def test_real_cifar10(real):
    source = data.find(real("cifar10"))
    assert (len(source), source.shape, source.sha256) == (60_000, (3, 32, 32), CIFAR10)
    assert (source.splits == np.repeat(["train", "test"], [50_000, 10_000])).all()
    for part, n in (("train", 5000), ("test", 1000)):
        assert np.bincount(source.labels[source.indices(part)]).tolist() == [n] * 10
    frog, cat = source.read(np.array([0, 50_000]))  # the first of each batch
    assert (source.labels[0], frog[0, 0].tolist()) == (6, [59, 62, 63])
    assert (source.labels[50_000], cat[0, 0].tolist()) == (3, [158, 112, 49])


def test_real_stl10_sample(real):
    images = data.load(real("stl10-sample"), "all")
    assert images.x.shape == (296, 3, 96, 96)
    assert 50 < images.x.float().mean() < 200


def test_real_imagenette(real):
    source = data.find(real("imagenette-224"))
    assert (len(source), source.shape) == (official.IMAGENETTE_IMAGES, (3, 224, 224))
    assert (len(source.indices("train")), len(source.indices("test"))) == (9469, 3925)
    assert np.bincount(source.labels).tolist()[:3] == [1350, 1350, 1350]
    assert source.read(source.indices("train")[:2])[1].shape == (224, 224, 3)
