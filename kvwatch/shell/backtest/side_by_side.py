"""Many servers at once: in processes of this machine, or on a cluster that is there already.

Servers do not depend on each other, so the same function is mapped over them wherever it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context

from kvwatch.backtest.coverage import Coverage
from kvwatch.shell.backtest.estimate import Job, estimate

LOOK_SECONDS = 0.5
"""How often those who wait are told [s]. Choice: a progress bar moves as often as one looks."""


class ClusterError(Exception):
    """The cluster cannot be used; the message says why."""


def estimate_all(jobs: Sequence[Job], processes: int, dask: str | None = None) -> Iterator[Coverage | None]:
    """What there was of each server, in the order in which they are done; ``None`` now and then while none is.

    Raises:
        ClusterError: the Dask cluster at that address cannot be used.
        Exception: what a job raises, a :class:`~kvwatch.shell.prometheus.api.PrometheusError` for example.
    """
    with _pool(min(processes, len(jobs)), dask) as pool:
        pending = {pool.submit(estimate, job) for job in jobs}
        try:
            while pending:
                done, pending = wait(pending, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                yield None
                for future in done:
                    yield future.result()
        except BaseException:
            for future in pending:
                future.cancel()
            raise


@contextmanager
def _pool(processes: int, dask: str | None) -> Iterator[Executor]:
    if dask is not None:
        with _cluster(dask) as executor:
            yield executor
        return
    # a fresh interpreter: the event loop and threads of this one are nothing to inherit
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in list((executor._processes or {}).values()):
                process.terminate()
            raise


def _one_thread() -> None:
    """Each process has a core of its own, so libraries need no threads in it."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    """A Dask cluster as an executor. Its workers must see the folder of the checkpoint."""
    try:
        from distributed import Client  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ClusterError("the package `distributed` is missing: pip install 'kvwatch[dask]'") from None
    try:
        client = Client(address, timeout="10s")  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise ClusterError(f"no Dask cluster at {address}: {error}") from None
    with client:
        yield client.get_executor(pure=False)  # type: ignore[no-untyped-call]
