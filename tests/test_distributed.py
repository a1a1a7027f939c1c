"""Several processes against one: the same loss, gradients and model; a process that dies starts again."""

import contextlib
import copy
import os
import re
import signal
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ssltheory import losses, train
from ssltheory.book import registry, scales
from ssltheory.errors import InputError, RunError
from ssltheory.models import encoders, predictors
from ssltheory.train import distributed, loop, objective

SECONDS = 300  # for one launch; a quiet machine takes a tenth
IMAGES, PIXELS, DIM = 16, 6, 4
SAME = 1e-6

EMBEDDING_LOSSES = {
    "barlow_twins": losses.barlow_twins,
    "barlow_twins-theory": partial(losses.barlow_twins, lambda_=1.0, normalize=False),
    "vicreg": losses.vicreg,
    "simclr": losses.simclr,
    "spectral_contrastive": losses.spectral_contrastive,
}
PREDICTION_LOSSES = {"byol": losses.byol, "simsiam": losses.simsiam}


def normal(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def two_views(*leading):
    x = normal(*leading, IMAGES, PIXELS, seed=0)
    return [x + 0.3 * normal(*x.shape, seed=seed) for seed in (1, 2)]


def encoder(batch_norm, seed=0):
    return encoders.initialise_(encoders.mlp([PIXELS, 8, DIM], batch_norm), seed).double()


def optimal():
    predictor = predictors.Optimal(DIM, ridge=0.1)
    predictor.update(normal(9, DIM, seed=3), normal(9, DIM, seed=4))
    return predictor


PREDICTORS = {
    "none": nn.Identity,
    "linear": partial(predictors.linear, DIM),
    "two_layer": partial(predictors.two_layer, DIM, 8),
    "symmetric": partial(predictors.Symmetric, DIM),
    "directpred": partial(predictors.DirectPred, DIM),
    "directpred-learnt": partial(predictors.DirectPred, DIM, learn=True),
    "directcopy": partial(predictors.DirectCopy, DIM),
    "optimal": optimal,
}


def stack(batch_norm):
    return encoders.stack([encoder(batch_norm, seed) for seed in (0, 1)])


def siamese(predictor, own_target, batch_norm):
    online = encoder(batch_norm)
    target = copy.deepcopy(online) if own_target else None
    return predictors.Siamese(online, PREDICTORS[predictor]().double(), target, momentum=0.9)


def cases():
    """By name: what makes the model, its loss, what follows each step."""
    for batch_norm in (False, True):
        norm = "-batchnorm" if batch_norm else ""
        for name, loss in EMBEDDING_LOSSES.items():
            yield name + norm, (partial(encoder, batch_norm), loss, None)
            yield f"{name}-stack{norm}", (partial(stack, batch_norm), loss, None)
        for name, loss in PREDICTION_LOSSES.items():
            for kind in PREDICTORS:
                make = partial(siamese, kind, name == "byol", batch_norm)
                yield f"{name}-{kind}{norm}", (make, loss, predictors.after_step)


CASES = dict(cases())
CHUNKED = [name for name in CASES if "batchnorm" not in name and "two_layer" not in name]


def trained(name, **settings):
    """The losses at steps 0 to 2, the gradients at step 1, the model at step 2: one vector each."""
    make, loss, after_step = CASES[name]
    model = make()
    views = train.pairs(*two_views(*([2] if "stack" in name else [])))
    settings |= {"observe_steps": [], "after_step": after_step}
    curve = train.train(model, views, loss, train.Recipe(steps=2, lr=0.01), **settings).curve
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    state = [v for k, v in model.state_dict().items() if not k.endswith((".moment", ".count"))]
    parts = {"losses": [curve], "gradients": gradients, "model": state}
    return {k: torch.cat([v.flatten().double() for v in part]) for k, part in parts.items()}


def error(found, expected):
    """The largest difference, as a share of the largest entry."""
    return max((found[k] - v).abs().max() / v.abs().max() for k, v in expected.items()).item()


FAULTS = {
    "no-factor": ("barlow_twins", {"world_size": lambda: 1}),
    "local-loss": ("barlow_twins", {"gather": lambda z: z, "world_size": lambda: 1}),
    "own-statistics": (
        "simclr-batchnorm",
        {"synchronised": lambda model: contextlib.nullcontext()},
    ),
}


def with_fault(fault):
    """As ``trained``, with a part of ``distributed`` replaced where ``train`` looks it up."""
    name, parts = FAULTS[fault]
    for module in (loop, objective):
        module.distributed = SimpleNamespace(**vars(distributed) | parts)
    try:
        return trained(name)
    finally:
        for module in (loop, objective):
            module.distributed = distributed


def everything():
    """In each process; what rank 0 returns is judged."""
    found = {name: trained(name) for name in CASES}
    ours = torch.cat([vector for result in found.values() for vector in result.values()])
    shared = torch.Generator().manual_seed(0)
    forks = [torch.rand(1, 3, generator=distributed.fork(shared)) for _ in range(2)]
    return {
        "found": found,
        "everywhere": distributed.gather(ours[None]),
        "faults": {fault: with_fault(fault) for fault in FAULTS},
        "chunks": {name: trained(name, chunk_size=3) for name in CHUNKED},
        "forks": distributed.gather(torch.cat(forks)),
        "next": distributed.gather(torch.rand(1, 3, generator=shared)),
    }


def launch(*arguments, **settings):
    """``distributed.launch``, ended after ``SECONDS``."""

    def late(*_):
        raise TimeoutError(f"a launch took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        return distributed.launch(*arguments, **settings)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def whole():
    return {name: trained(name) for name in CASES}


def unevenly():
    views, recipe = train.pairs(*two_views(), batch_size=7), train.Recipe(steps=1, lr=0.01)
    return train.train(encoder(False), views, losses.vicreg, recipe)


def divides_by_zero():
    raise ZeroDivisionError("a planted fault")


#: By number of processes: how a group ends that has measured everything, and what the launch then raises.
ENDS = {
    2: (
        unevenly,
        InputError,
        r"7 images cannot be shared out evenly among 2 processes: take a multiple of 2",
    ),
    4: (divides_by_zero, RunError, r"process \d of 4 failed, after 0 restarts: .*a planted fault"),
}


def measured_and_ended(end, path: Path):
    found = everything()
    if distributed.rank() == 0:
        torch.save(found, path)
    end()


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def group(request, tmp_path_factory):
    """What is measured in several processes, ``raised`` by the launch, and the ``number`` of processes."""
    path, number = tmp_path_factory.mktemp("group") / "found.pt", request.param
    end, kind, _ = ENDS[number]
    with pytest.raises(kind) as raised:
        launch(measured_and_ended, end, path, processes=number, restarts=0)
    return torch.load(path) | {"raised": str(raised.value), "number": number}


# The same as one process


def test_losses_gradients_and_models_are_those_of_one_process(group, whole):
    errors = {name: error(group["found"][name], whole[name]) for name in CASES}
    assert all(e < SAME for e in errors.values()), errors
    assert len(errors) == 52


def test_all_processes_end_with_the_same(group):
    everywhere = group["everywhere"]
    assert (everywhere - everywhere[0]).abs().max() < SAME


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_seen(group, whole, fault):
    assert error(group["faults"][fault], whole[FAULTS[fault][0]]) > 1000 * SAME


def test_chunks_of_each_share_change_nothing(group, whole):
    errors = {name: error(group["chunks"][name], whole[name]) for name in CHUNKED}
    assert all(e < SAME for e in errors.values()), errors


def test_every_process_draws_views_of_its_own_from_the_shared_generator(group):
    assert len(group["forks"].unique(dim=0)) == len(group["forks"])
    assert len(group["next"].unique(dim=0)) == 1


@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_in_one_process_change_nothing(whole, name):
    assert error(trained(name, chunk_size=3), whole[name]) < SAME


def test_chunks_are_refused_with_batchnorm():
    with pytest.raises(InputError, match="chunk_size=3: BatchNorm needs the whole batch"):
        trained("vicreg-batchnorm", chunk_size=3)


# A process that dies


def dies_once(folder: Path, deaths: int = 1):
    """Each process writes down its steps; rank 1 is killed after update 4, as often as asked."""

    def after_step(step, model):
        rank = distributed.rank()
        with (folder / f"steps-{rank}").open("a") as file:
            print(step, file=file)
        if rank == 1 and step == 4 and len(list(folder.glob("death-*"))) < deaths:
            (folder / f"death-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    views, recipe = train.pairs(*two_views(), batch_size=8), train.Recipe(steps=8, lr=0.01)
    settings = {"checkpoint": train.Checkpoint(folder / "run.pt", every=0.0)}
    settings |= {"after_step": after_step}
    return train.train(encoder(True), views, losses.vicreg, recipe, **settings).curve


@pytest.mark.slow
def test_a_killed_process_starts_again_from_the_checkpoint(tmp_path):
    for name in ("killed", "alone"):
        (tmp_path / name).mkdir()
    curve = launch(dies_once, tmp_path / "killed", processes=2, restarts=1)
    expected = dies_once(tmp_path / "alone")
    torch.testing.assert_close(curve, expected, rtol=SAME, atol=0)
    assert len(list((tmp_path / "killed").glob("death-*"))) == 1
    steps = [int(line) for line in (tmp_path / "killed" / "steps-1").read_text().split()]
    assert steps.count(1) == 1, "it began anew"
    assert set(steps) == set(range(1, 9))


# What is refused, or fails


def test_a_refusal_and_an_error_of_the_function_are_told(group):
    *_, message = ENDS[group["number"]]
    assert re.match(message, group["raised"], re.S)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"processes": 0}, "processes=0: take 1 or more"),
        ({"processes": 2, "device": "mps"}, "processes=2: device=mps takes only one"),
        (
            {"processes": 2, "device": "cuda"},
            "each needs a GPU of its own and there are 1: take fewer",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(monkeypatch, settings, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=message):
        distributed.launch(unevenly, **settings)


def test_a_function_that_cannot_be_sent_is_refused():
    lock = threading.Lock()
    with pytest.raises(InputError, match=r"this cannot be sent to other processes: .*lock"):
        distributed.launch(lambda: lock, processes=2)


@pytest.mark.parametrize(
    ("hosts", "message"),
    [("2", "PET_NNODES=2 needs PET_RDZV_ENDPOINT"), ("1:4", "must be a whole number of 1 or more")],
)
def test_several_hosts_must_be_named_whole(monkeypatch, hosts, message):
    monkeypatch.setenv("PET_NNODES", hosts)
    monkeypatch.delenv("PET_RDZV_ENDPOINT", raising=False)
    with pytest.raises(InputError, match=message):
        distributed.launch(unevenly)


# From a notebook


def test_chapter_02_in_two_processes_writes_the_record_of_one(tmp_path, monkeypatch):
    pytest.importorskip("papermill")
    from notebook_cells import record_of  # a launched process would load matplotlib with it

    from ssltheory.book import runner

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    smaller = {"n_seeds": 1, "steps": 60, "device": "cpu"}
    job = runner.plan("02-deep-staircase", "tiny", smaller | {"processes": 2}, tmp_path / "two")
    (outcome,) = runner.run([job])
    os.environ.pop("SSLTHEORY_WATCHED")
    assert outcome.error is None
    chapter = registry.find("02-deep-staircase")
    one = record_of(chapter, tmp_path / "one", **scales.values(chapter, "tiny") | smaller)
    assert [c.id for c in outcome.record.claims] == [c.id for c in one.claims]
    for quantity in ("loss", "eigenvalues", "covariance"):
        name = f"{quantity}_barlow_twins_small"
        found, expected = outcome.record.arrays[name], one.arrays[name]
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
