import os
import signal

from hypothesis import settings

# the same examples every time, and no deadline: a busy machine is no bug
settings.register_profile("rewardkit", deadline=None, derandomize=True)
settings.load_profile("rewardkit")

# a shell that starts the tests in the background lets every child ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

# of several workers each has a core of its own; torch and what tests start read this when they begin
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
