"""The ways in which a request can end early, and the exit codes that they stand for."""


class InputError(ValueError):
    """What was asked for cannot be done: the message names the fault and its remedy (exit code 2)."""

    exit_code = 2


class RunError(RuntimeError):
    """The request was sound, the computation failed (exit code 1)."""

    exit_code = 1


class Paused(RuntimeError):
    """The time that was given is up, a checkpoint is kept, the same request goes on (exit code 3)."""

    exit_code = 3
