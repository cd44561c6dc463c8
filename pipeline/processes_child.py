"""The side of `pipeline run --processes N` that does the work: one of the N processes.

What it is to do comes on standard input, as one line of JSON. The owner then keeps that
pipe open: its end, which even SIGKILL of the owner brings about, is the request to stop.
What the owner must know goes to standard output, a line of JSON each: the port, and the
error that ends the process. (A signal as the request would come twice where a terminal or a
service manager signals the whole group, and a second signal does not wait.)
"""

import json
import os
import threading
from contextlib import suppress
from typing import Any

from pipeline.errors import InputError, PipelineError
from pipeline.signals import StopSignals

STDIN, STDOUT, STDERR = 0, 1, 2


class Owner:
    """The process that started this one."""

    def __init__(self, signals: StopSignals) -> None:
        """Take its order, and stop by `signals` when it asks for that or is gone.

        Raises:
            InputError: nobody gave an order; this is not a command for people.
        """
        self._pipe = os.dup(STDOUT)
        # What else is printed belongs in the log, not between the messages.
        os.dup2(STDERR, STDOUT)
        with open(STDIN, "rb", buffering=0, closefd=False) as pipe:
            line = pipe.readline()
        try:
            order: dict[str, Any] = json.loads(line)
            self.number = int(order["process"])
            self.settings: dict[str, object] = order["settings"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError("only `pipeline run --processes` starts this") from error
        threading.Thread(target=_await_end, args=(signals,), daemon=True).start()

    def hear_port(self, port: int) -> None:
        """Tell it where the three pages of this process are."""
        self._tell({"port": port})

    def hear_error(self, error: PipelineError) -> None:
        """Tell it what ends this process: it alone can say once what all of them say."""
        self._tell({"error": str(error)})

    def _tell(self, message: dict[str, object]) -> None:
        # Without an owner there is nobody to tell, and the end of the pipe says the rest.
        with suppress(BrokenPipeError):
            os.write(self._pipe, json.dumps(message).encode() + b"\n")


def _await_end(signals: StopSignals) -> None:
    # Not by `sys.stdin`, whose lock this thread would hold while the interpreter ends.
    while os.read(STDIN, 4096):
        pass
    signals.request_from_thread()
