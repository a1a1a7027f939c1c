"""The ways in which a request can end early, and the exit codes that they stand for."""

LONGEST = 2000  # characters of a message, whatever it quotes


class InputError(ValueError):
    """What was asked for cannot be done: the message names the fault and its remedy (exit code 2).

    It is one line of text that any terminal takes, however long and strange the names and values that it quotes.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        if len(message) > LONGEST:
            message = f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


class RunError(RuntimeError):
    """The request was sound, the computation failed (exit code 1)."""

    exit_code = 1


class Paused(RuntimeError):
    """The time that was given is up, a checkpoint is kept, the same request goes on (exit code 3)."""

    exit_code = 3
