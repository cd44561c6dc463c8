"""The project's exceptions: one class per decision the caller makes."""


class PipelineError(Exception):
    """Base of the project's exceptions. Its text is one line that a user can act on."""

    exit_code = 1
    """Of a command that it ends: something failed on the way."""


class InputError(PipelineError):
    """What the user gave (a file, a setting, an option) cannot be used."""

    exit_code = 2


class DetectorError(InputError):
    """A detector folder is missing, damaged, tampered with or of another version; or it
    could not be read for now. `is_passing` says whether trying again may help though
    nothing in the folder changes: memory was short, or the disk did not answer."""

    def __init__(self, detail: str, *, is_passing: bool = False) -> None:
        super().__init__(detail)
        self.is_passing = is_passing


class DecodeError(PipelineError):
    """One record is not a valid reading. It is dead-lettered; the stream goes on."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class StreamUnreadable(PipelineError):
    """Too large a share of the stream cannot be read. The worker stops."""


class StopTimedOut(PipelineError):
    """Asked to stop, the worker could not finish in time. It ends all the same."""


class ProcessEnded(PipelineError):
    """One of several worker processes ended by itself, or not well. So does the whole."""

    def __init__(self, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class TransportError(PipelineError):
    """Kafka refused or did not answer. `retriable` says whether trying again may help."""

    def __init__(self, detail: str, *, retriable: bool) -> None:
        super().__init__(detail)
        self.retriable = retriable


class MessageTooLarge(TransportError):
    """The broker takes no message of this size. Only a smaller one will do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retriable=False)


def one_line(text: object) -> str:
    """A library's message as part of one of ours: it may hold line breaks of its own, or
    of a file's content."""
    return " ".join(str(text).split())


# Torch says it of a CPU's memory by a plain RuntimeError.
_LACKS = ("out of memory", "not enough memory", "allocate memory")


def lacks_memory(error: BaseException) -> bool:
    """Whether memory was short, the system's or a device's: the same may work later."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(each in str(error) for each in _LACKS)
