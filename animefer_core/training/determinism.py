"""Equal bits on a card: the algorithms that add up in one order, at some cost in speed.

On a CPU they are the only ones that a trial meets, so that its numbers do not depend on this.
"""

import contextlib
import os
from collections.abc import Iterator

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
FIXED_WORKSPACES = (":4096:8", ":16:8")
"""The two under which NVIDIA promises equal results of cuBLAS (its documentation, "Results reproducibility")."""


@contextlib.contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """Have torch use deterministic algorithms alone, where wanted; all is as before in the end.

    An operation that has none raises RuntimeError and names itself. cuBLAS reads its setting with the process's first
    matrix product on a card, so the first trial of a process decides it.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, workspace = torch.backends.cudnn.benchmark, os.environ.get(WORKSPACE)
    if workspace not in FIXED_WORKSPACES:
        os.environ[WORKSPACE] = FIXED_WORKSPACES[0]
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            del os.environ[WORKSPACE]
        else:
            os.environ[WORKSPACE] = workspace
