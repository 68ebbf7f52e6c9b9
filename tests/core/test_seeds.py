import inspect
import subprocess
import sys

import numpy as np
import pytest

from animefer_core.seeds import stream, torch_seed

DRAWS = 8


def drawn(seed: int, purpose: str, *position: int) -> list[float]:
    return stream(seed, purpose, *position).random(DRAWS).tolist()


def test_one_name_gives_one_stream():
    assert drawn(42, "order", 3) == drawn(42, "order", 3)


@pytest.mark.parametrize(
    "other", [(43, "order", 3), (42, "augmentation", 3), (42, "order", 4), (42, "order"), (42, "order", 3, 0)]
)
def test_seed_purpose_and_position_each_give_another_stream(other):
    assert not set(drawn(*other)) & set(drawn(42, "order", 3))


def test_neighbouring_seeds_and_epochs_never_meet():
    first = {stream(seed, "order", epoch).random() for seed in range(50) for epoch in range(50)}
    assert len(first) == 50 * 50


def test_streams_are_not_shifted_copies():
    # Seeds that were added to one another, instead of mixed, would make seed 1 at epoch 2 seed 2 at epoch 1.
    assert drawn(1, "order", 2) != drawn(2, "order", 1)


def test_another_process_draws_the_same():
    program = (
        "from animefer_core.seeds import stream, torch_seed\n"
        f"print((stream(42, 'order', 3).random({DRAWS}).tolist(), torch_seed(42, 'head')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str((drawn(42, "order", 3), torch_seed(42, "head")))


def test_a_torch_seed_follows_the_named_stream():
    assert torch_seed(42, "head") == torch_seed(42, "head")
    assert len({torch_seed(42, "head"), torch_seed(42, "backbone"), torch_seed(43, "head")}) == 3


def test_a_torch_seed_fits_64_bits():
    assert all(0 <= torch_seed(seed, "head") < 2**63 for seed in range(200))


def test_a_stream_is_named_by_seed_purpose_and_position_alone():
    assert list(inspect.signature(stream).parameters) == ["seed", "purpose", "position"]


def test_the_global_generator_is_left_alone():
    np.random.seed(0)  # noqa: NPY002 - the global generator is what this is about
    expected = np.random.get_state()[1].tolist()  # noqa: NPY002
    stream(42, "order").random(DRAWS)
    assert np.random.get_state()[1].tolist() == expected  # noqa: NPY002
