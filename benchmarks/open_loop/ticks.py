"""A beat that an event loop can read: Linux's timerfd, since the loops' own timers round to milliseconds."""

import ctypes
import os
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_NONBLOCK: Final = os.O_NONBLOCK
_NANOSECONDS: Final = 1_000_000_000


class _Spec(ctypes.Structure):
    """An itimerspec: the interval, then the time to the first beat, each as seconds and nanoseconds."""

    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


def open_ticks(seconds: float) -> int:
    """Return a file descriptor that becomes readable every ``seconds``; reading 8 bytes takes the beats.

    Raises:
        OSError: the kernel gives no timer.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    whole, rest = divmod(round(seconds * _NANOSECONDS), _NANOSECONDS)
    spec = _Spec((whole, rest), (whole, rest))
    if libc.timerfd_settime(descriptor, 0, ctypes.byref(spec), None) < 0:
        os.close(descriptor)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return int(descriptor)
