"""Whoever works on the blocks of a build at the same time: processes, or threads where those may not be."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from multiprocessing.connection import Connection

from storage.errors import StorageError
from storage.image.build._work import Task, Worked

__all__ = ["CREW", "Submit", "crew", "may_fork"]

CREW = min(os.cpu_count() or 1, 8)  # more would wait for the one who writes

Work = Callable[[Task], list[Worked]]
Submit = Callable[[Task], Callable[[], list[Worked]]]  # gives what to call for the answer


def may_fork() -> bool:
    """Whether a process can be forked safely: there is no other thread that holds a lock at that moment."""
    return sys.platform == "linux" and threading.active_count() == 1 and not multiprocessing.current_process().daemon


@contextmanager
def crew(make: Callable[[], Work], forked: bool) -> Iterator[Submit]:
    """Whoever takes tasks in turn; answers are to be asked for in the order of the tasks."""
    with ExitStack() as stack:
        hire = _process if forked else _thread
        hands = cycle([stack.enter_context(hire(make())) for _ in range(CREW)])
        yield lambda task: next(hands)(task)


@contextmanager
def _thread(work: Work) -> Iterator[Submit]:
    with ThreadPoolExecutor(1) as pool:
        try:
            yield lambda task: pool.submit(work, task).result
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _process(work: Work) -> Iterator[Submit]:
    """A process that shares the blocks. Its answers are short: a few of them fit into the pipe, unread."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_serve, args=(work, ours, theirs))
    process.start()
    theirs.close()
    try:
        yield partial(_ask, ours)
    finally:
        ours.close()
        process.join()


def _ask(pipe: Connection, task: Task) -> Callable[[], list[Worked]]:
    try:
        pipe.send(task)
    except OSError as error:
        raise StorageError("a process that compresses has ended") from error
    return partial(_answer, pipe)


def _answer(pipe: Connection) -> list[Worked]:
    try:
        answer = pipe.recv()
    except (EOFError, OSError) as error:
        raise StorageError("a process that compresses has ended") from error
    if isinstance(answer, Exception):
        raise answer
    worked: list[Worked] = answer
    return worked


def _serve(work: Work, theirs: Connection, pipe: Connection) -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the process that asks
    theirs.close()
    try:
        while True:
            task = pipe.recv()
            try:
                answer: list[Worked] | Exception = work(task)
            except Exception as error:
                answer = error
            pipe.send(answer)
    except (EOFError, OSError):
        return
