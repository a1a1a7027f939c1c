"""How the processes of a run share a machine with others, and what the machine is."""

import os
import platform

#: Read when a process starts, or when it imports torch. Threads of OpenMP that wait spin for so long before they sleep:
#: without it, beside one busy process on two cores, drawing views takes 25 times as long. And memory that was freed is
#: kept for the next step instead of given back to the system.
SETTINGS = {
    "GOMP_SPINCOUNT": "3000",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
}
#: Variables of the user that say the same in another way, and win.
INSTEAD = {"GOMP_SPINCOUNT": "OMP_WAIT_POLICY"}

_own: set[str] = set()  # set here


def share() -> None:
    """Put ``SETTINGS`` into the environment of this process and of those that it starts; what is there already wins."""
    for name, value in SETTINGS.items():
        if not {name, INSTEAD.get(name, name)} & set(os.environ):
            os.environ[name] = value
            _own.add(name)


def describe() -> dict[str, str]:
    """Processor, threads and settings, in words; a setting says whether it was made here or was there before."""
    import torch

    from ssltheory.book import provenance

    facts = {
        "device": provenance.device_name(provenance.device()),
        "cores": str(os.cpu_count()),
        "threads of a run": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
    }
    facts |= provenance.versions()
    for name in (*SETTINGS, "OMP_NUM_THREADS", *INSTEAD.values()):
        value = os.environ.get(name)
        whose = "set here" if name in _own else "yours"
        facts[name] = f"{value} ({whose})" if value is not None else "not set"
    return facts
