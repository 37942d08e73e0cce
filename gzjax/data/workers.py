"""What every loader process does first; without JAX, so that it starts quickly."""

import os
import signal
import threading
import time

import cv2


def ready_worker(parent: int) -> None:
    """Readies this process, which must not outlive the process ``parent``.

    Signals are its parent's to answer, and one thread is its share of the cores.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
