from functools import partial

import pytest

from animefer_core.errors import InputError
from sweep.execution.packing import available_cores, divide_machine

divide = partial(divide_machine, ["resnet18"], classes=6, image_size=32, batch_size=8, device="cpu", gpu_share=1.0)


def test_one_thread_a_trial_fills_the_cores():
    capacity = divide(threads=None)
    assert capacity.trials_at_once * capacity.threads <= available_cores()
    assert capacity.gpu_share == 0


def test_more_threads_than_this_machine_has_are_refused():
    with pytest.raises(InputError, match="--threads 999"):
        divide(threads=999)


def test_a_small_driver_does_not_limit_a_clusters_threads():
    assert divide(threads=999, cluster=True).threads == 999
