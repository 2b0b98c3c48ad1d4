"""Threads for what blocks, started where nobody waits for them."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor


def start_workers(count: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of threads that are all running, or about to.

    A pool would start each with the first piece of work for it: the event loop, which hands the
    work in, would wait for many threads in a row just when many people log in.

    Parameters
    ----------
    count
        How many.
    name
        Prefix of the threads' names.
    """
    workers = ThreadPoolExecutor(count, thread_name_prefix=name)
    threading.Thread(target=_start_all, args=(workers, count), daemon=True).start()
    return workers


def _start_all(workers: ThreadPoolExecutor, count: int) -> None:
    # While each waits for the others, none takes two of the pieces.
    everybody = threading.Barrier(count)

    def wait() -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            everybody.wait()

    try:
        for _ in range(count):
            workers.submit(wait)
    except RuntimeError:
        everybody.abort()  # shut down already
