"""The benchmarks that need no peer, run as a user runs them, on small numbers."""

import importlib
import json
import platform
import sys

import pytest
import torch
from conftest import ROOT


@pytest.fixture
def bench(monkeypatch):
    """Runs a benchmark with a command line; afterwards threads are as they were."""
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(ROOT)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        importlib.import_module(f"benchmarks.{name}").main()

    yield run
    torch.set_num_threads(threads)


def test_the_gpu_benchmark_rehearses_on_a_cpu(bench, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    bench("gpu", "--device", "cpu", "--smoke", "--rounds", 1, "--out", out)
    document, said = json.loads(out.read_text()), capsys.readouterr().out
    small, large = document["networks"].values()
    # Stages of ResNet-18: five convolutions, as the first has its input's where the others have a shortcut's.
    assert small["conv_outputs"] == sum(5 * 64 * 2**k * (32 // 2**k) ** 2 for k in range(4))
    assert large["conv_outputs"] == pytest.approx(2.04e6, rel=1e-3)
    for network in (small, large):
        assert network["views_a_second"]["median"] > 0
        assert network["augmentations_share"]["median"] > 0
        assert network["met"] is None
    assert "MISSED" not in said
    device = document["environment"]["device"]
    assert device
    assert "threads" not in device
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert device != "x86_64"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_gpu_benchmark_says_that_it_needs_one(bench, tmp_path, capsys, device):
    with pytest.raises(SystemExit) as ended:
        bench("gpu", "--device", device, "--out", tmp_path / "gpu.json")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(said.splitlines()) == 1
    assert "needs a GPU" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_contention_times_all_works_quiet_and_beside_busy_processes(bench, tmp_path, capsys):
    out = tmp_path / "contention.json"
    bench("contention", "--smoke", "--rounds", 1, "--threads", 1, "--out", out)
    works = json.loads(out.read_text())["works"]
    assert len(works) == 5
    assert all(work["quiet_seconds"] > 0 for work in works.values())
    assert all(work["share_of_speed"].keys() == {"1", "2"} for work in works.values())
    assert capsys.readouterr().out.count("aim >= 0.45") == 5


def test_tracking_runs_the_notebooks_cells_with_all_records_and_with_one(bench, tmp_path, capsys):
    out = tmp_path / "tracking.json"
    bench("tracking", "--share", 250, "--rounds", 2, "--out", out)
    comparisons = json.loads(out.read_text())["comparisons"]
    assert [c["peer"] for c in comparisons] == ["one record"] * 2
    assert [c["items"] for c in comparisons] == [10, 10]
    assert "random images stand in" in capsys.readouterr().out
