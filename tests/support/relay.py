"""A TCP relay in front of a directory: slow, cut off, or dripping. Run as a module: a slow one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time


class Relay:
    """Passes bytes on to a port of 127.0.0.1.

    Parameters
    ----------
    port
        Of the directory.
    delay_seconds
        Before each piece of a client is passed on: for each operation, as clients wait.
    cut_after
        How many pieces of a client to pass on; at the next one both sides are closed.
    drip_seconds
        Between any two bytes to a client; 0 to pass everything on at once.
    """

    def __init__(self, port, *, delay_seconds=0.0, cut_after=None, drip_seconds=0.0):
        self._to = port
        self._delay, self._cut_after, self._drip = delay_seconds, cut_after, drip_seconds
        self._hung_until = 0.0
        self.connections = 0
        self.open = 0

    def hang(self, seconds=60):
        """From now on, pass nothing on for so many seconds; what comes then is lost."""
        self._hung_until = time.monotonic() + seconds

    async def serve(self, port=0):
        """Start to listen, and return the server."""
        return await asyncio.start_server(self._accepted, "127.0.0.1", port, backlog=1000)

    async def _accepted(self, reader, writer):
        self.connections += 1
        self.open += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to)
        tasks = [
            asyncio.ensure_future(self._up(reader, up_writer)),
            asyncio.ensure_future(self._down(up_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.open -= 1
            for task in tasks:
                task.cancel()
            for end in (writer, up_writer):
                end.close()

    async def _up(self, reader, writer):
        pieces = 0
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                pieces += 1
                if self._cut_after is not None and pieces > self._cut_after:
                    return
                await asyncio.sleep(self._delay)
                if time.monotonic() >= self._hung_until:
                    writer.write(piece)

    async def _down(self, reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if not self._drip:
                    writer.write(piece)
                    continue
                for byte in piece:
                    await asyncio.sleep(self._drip)
                    writer.write(bytes([byte]))
                    await writer.drain()


@contextlib.contextmanager
def relay(port, **options):
    """Run a relay in a thread; yield it, with its own port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made = Relay(port, **options)
    server = asyncio.run_coroutine_threadsafe(made.serve(), loop).result()
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server):
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


async def main(listen, to, delay_seconds):
    server = await Relay(to, delay_seconds=delay_seconds).serve(listen)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
