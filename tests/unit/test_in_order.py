"""Waiting for work on other threads; that its results come in order is tested with the client, which reads them."""

import signal
import threading
import time

import pytest

from eagleray.service_client.in_order import in_order


def test_ctrl_c_is_heard_although_its_signal_does_not_wake_the_wait():
    """As a signal does that arrives just before the wait begins, one to another thread leaves the system call alone."""
    go_on = threading.Event()

    def work(_):
        time.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return go_on.wait(20)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(in_order(work, [1], workers=1))
    go_on.set()
    assert time.monotonic() - start < 10
