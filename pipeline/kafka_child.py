"""Runs Kafka for `kafka_server.LocalKafka` and outlives it by a moment. A script.

It stands between the owner and Java so that nothing is left behind, however the owner
ends: when its standard input closes, which even SIGKILL of the owner brings about, it
kills Java and removes the folder. (`PR_SET_PDEATHSIG` would be Linux only, bound to the
thread that started the child, and would leave the folder.)

    python -I -S kafka_child.py FOLDER COMMANDS

COMMANDS is a JSON list of commands, run one after the other. If one fails, or the last
one ends, this exits with its status and leaves the folder, for the log in it is read.
Whenever it reads `RESTART` it kills the one that runs, and runs that once more.
"""

import json
import os
import shutil
import subprocess
import sys
import threading

RESTART = b"r"


def main(folder: str, commands: list[list[str]]) -> None:
    """Run `commands` until the last ends, one fails, or standard input closes."""
    lock = threading.Lock()
    running: list[subprocess.Popen[bytes]] = []
    restarted: list[subprocess.Popen[bytes]] = []

    def end_with_owner() -> None:
        while os.read(0, 1):
            with lock:
                restarted[:] = running
                for process in running:
                    process.kill()
        # Held for good: no further command may start.
        lock.acquire()
        for process in running:
            # At once: nobody will ever read what an orderly shutdown would save.
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=end_with_owner, daemon=True).start()
    status = 0
    while commands:
        with lock:
            process = subprocess.Popen(commands[0], stdin=subprocess.DEVNULL)  # noqa: S603
            running[:] = [process]
        status = process.wait()
        with lock:
            if restarted == [process]:
                continue
        if status != 0:
            break
        commands = commands[1:]
    with lock:
        os._exit(1 if status < 0 else status)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
