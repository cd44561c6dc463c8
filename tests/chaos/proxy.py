"""A TCP proxy between workers and Kafka that cuts, slows and holds what passes."""

import asyncio
import threading
from contextlib import suppress

CHUNK_BYTES = 2**16
LOOK_EVERY_S = 0.02


class Proxy:
    """Owns a thread, and every connection that goes through it. A context manager."""

    def __init__(self) -> None:
        self.port = 0
        """Where it listens, on 127.0.0.1, once entered."""
        self._target_port = 0
        self._delay_s = 0.0
        self._is_held = False
        self._is_cut = False
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10.0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc_info: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    def forward_to(self, port: int) -> None:
        """Connect to this port of 127.0.0.1 from now on."""
        self._target_port = port

    def cut(self) -> None:
        """End all connections, and each new one, until `heal`."""
        self._is_cut = True
        self._loop.call_soon_threadsafe(self._end_all)

    def hold(self) -> None:
        """Let nothing through, with connections open, until `heal`."""
        self._is_held = True

    def slow(self, delay_s: float) -> None:
        """Let each piece of data wait so long, until `heal`."""
        self._delay_s = delay_s

    def heal(self) -> None:
        """Let everything through."""
        self._delay_s, self._is_held, self._is_cut = 0.0, False, False

    async def _close(self) -> None:
        self._server.close()
        self._is_cut = True
        self._end_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _end_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            self._writers.add(writer)
            if not self._is_cut:
                there = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._writers.add(there[1])
                try:
                    await asyncio.gather(
                        self._pass(reader, there[1]), self._pass(there[0], writer)
                    )
                finally:
                    self._writers.discard(there[1])
                    there[1].transport.abort()
        self._writers.discard(writer)
        writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(self._delay_s)
            while self._is_held:
                await asyncio.sleep(LOOK_EVERY_S)
            writer.write(data)
            await writer.drain()
        # One side has ended: so does the other.
        writer.transport.abort()
