"""The settings by which runs share a machine, and what is said of it."""

import json
import os
import subprocess
import sys

import pytest

from ssltheory.book import machine

TOLD = "import os, sys, json, ssltheory.book; print(json.dumps([dict(os.environ), 'torch' in sys.modules]))"


def started(**environment: str) -> tuple[dict[str, str], bool]:
    """The environment of a new process that has imported the machinery, and whether torch was imported with it."""
    bare = {k: v for k, v in os.environ.items() if k not in machine.SETTINGS}
    command = [sys.executable, "-c", TOLD]
    done = subprocess.run(command, env=bare | environment, capture_output=True, check=True)
    return tuple(json.loads(done.stdout))


def test_settings_are_made_before_torch_is_imported():
    found, torch_is_there = started()
    assert {name: found[name] for name in machine.SETTINGS} == machine.SETTINGS
    assert not torch_is_there, "which reads them when it is imported"


@pytest.mark.parametrize("name", machine.SETTINGS)
def test_a_setting_of_the_user_wins(name):
    found, _ = started(**{name: "7"})
    assert {n: found[n] for n in machine.SETTINGS} == machine.SETTINGS | {name: "7"}


def test_a_waiting_policy_of_the_user_wins():
    assert "GOMP_SPINCOUNT" not in started(OMP_WAIT_POLICY="PASSIVE")[0]


def test_the_machine_says_whose_a_setting_is(monkeypatch):
    for name in machine.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "_own", set())
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "5")
    machine.share()
    facts = machine.describe()
    assert facts["GOMP_SPINCOUNT"] == "3000 (set here)"
    assert facts["MALLOC_MMAP_MAX_"] == "5 (yours)"
    assert int(facts["cores"]) == os.cpu_count()
    assert facts["torch"]
