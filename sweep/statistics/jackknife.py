"""Test images in blocks, each left out in turn: what a jackknife over images deletes."""

import numpy as np
import numpy.typing as npt

BLOCKS = 30


def image_blocks(n_images: int, groups: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
    """Return the block of every test image, (images,) numbers from 0: min(30, N) blocks of images in their order.

    Whole groups are in one block, where `groups` (images,) is given. Raises ValueError for fewer than two images or
    groups.
    """
    members = np.arange(n_images) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    n_members = int(members.max()) + 1
    if n_members < 2:
        raise ValueError("a jackknife over images needs two test images or groups of them at least")
    return np.asarray(members * min(BLOCKS, n_members) // n_members, dtype=np.int64)
