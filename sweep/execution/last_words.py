"""A word for a sweep that cannot say one: whose process was killed, or ended by Ray once its cluster was gone.

Ray ends a driver from within, a minute after its cluster's head is lost, and nothing of Python runs then; nor does it
after SIGKILL. A process that waits for the end of ours, and knows nothing else, then says what is to be done.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WAIT = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sys.stdin.read() or print(sys.argv[1], file=sys.stderr)
"""
"""It outlives what a scheduler sends to every process of a job."""


@contextlib.contextmanager
def last_words(folder: Path) -> Iterator[None]:
    """Have it said where the results lie and how to go on, should this process end within the block."""
    words = (
        "animefer: the sweep's process ended without a word: it was killed, or its Ray cluster went away. What is "
        f"finished is kept in {folder}; the same command goes on from there."
    )
    # In a session of its own, since Ctrl-C is for the sweep; isolated and without site, it starts in no time.
    command = [sys.executable, "-I", "-S", "-c", WAIT, words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as waiting:
        try:
            yield
        finally:
            waiting.communicate(b"ended in good order")
