"""The two ways in which a request can fail, and the exit codes that they stand for."""


class InputError(ValueError):
    """What was asked for cannot be done: the message names the fault and its remedy (exit code 2)."""

    exit_code = 2


class RunError(RuntimeError):
    """The request was sound, the computation failed (exit code 1)."""

    exit_code = 1
