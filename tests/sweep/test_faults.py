"""A short run of the fault harness; `python -m tests.sweep.fault_harness` is the long one."""

import pytest

from tests.sweep.fault_harness import harass
from tests.sweep.two_nodes import reason_against


@pytest.mark.slow
@pytest.mark.skipif(reason_against() is not None, reason=f"no two nodes: {reason_against()}")
def test_after_random_kills_every_record_is_there_trained_once_and_equal(capsys):
    seed = 20261125
    with capsys.disabled():
        print(f" seed {seed} ", end="", flush=True)
    outcome = harass(kills=5, seed=seed, seeds="1,2,3")
    assert outcome.kills.total() == 5
    assert outcome.records >= 12
    assert (outcome.lost, outcome.twice, outcome.unequal) == ([], [], []), str(outcome)
