"""Being asked to stop: the step under way may end, and what is done is kept even if it cannot."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rewardkit.errors import OutputError

PATIENCE = 20.0
"""Seconds that a step has after SIGTERM: schedulers send SIGKILL 30 s after it, and what is left is for writing."""

BROKEN_OFF = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM ended, as shells have it."""

LOGGER = logging.getLogger(__name__)


@contextmanager
def interruptible(rescue: Callable[[], str]) -> Iterator[threading.Event]:
    """In here SIGINT and SIGTERM only set the event, so that a step can be finished.

    A step that is not over `PATIENCE` seconds after SIGTERM is broken off: a thread calls `rescue` and ends the
    process, since the main thread may sit in a kernel, or wait for a process that is gone. A second SIGINT breaks off,
    too, and so do errors of the machine, such as memory that is full or a process that went; `rescue` is called first.

    Args:
        rescue: writes the last complete step from any thread, waits for nobody, and says what it did.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with _watched(rescue):
            yield asked
    except (KeyboardInterrupt, RuntimeError, MemoryError) as error:
        rescue()
        if asked.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _watched(rescue: Callable[[], str]) -> Iterator[None]:
    """In here a thread hears of signals at once: Python's own handlers wait until the main thread is back in Python."""
    over = threading.Event()
    ears, mouth = os.pipe()
    os.set_blocking(mouth, False)
    before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)

    def listen() -> None:
        while heard := os.read(ears, 1):
            if heard[0] == signal.SIGTERM:
                break
        if heard and not over.wait(PATIENCE):
            _break_off(rescue)

    thread = threading.Thread(target=listen, name="waits for SIGTERM", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(mouth)
        thread.join()
        os.close(ears)


def _break_off(rescue: Callable[[], str]) -> None:
    try:
        LOGGER.warning("the step under way did not end within %g s of SIGTERM and is lost: %s", PATIENCE, rescue())
    except OutputError as error:
        LOGGER.error("%s", error)
    except Exception:  # which the end of the process would hide
        LOGGER.exception("the steps before could not be saved")
    finally:
        os._exit(BROKEN_OFF)
