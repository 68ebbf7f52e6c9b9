"""Named random streams: each purpose has its own, and none depends on the model's name.

Two configurations trained with one seed therefore meet the images in the same order and under the same
augmentation, which is what makes them paired.
"""

import hashlib

import numpy as np

Purpose = str  # "backbone", "head", "order", "augmentation", "dropout", "split", "faces"


def stream(seed: int, purpose: Purpose, *position: int) -> np.random.Generator:
    """Return the generator for one purpose, at one position (an epoch, a class number) of that purpose.

    Streams of different (seed, purpose, position) are independent: the purpose enters numpy's SeedSequence as
    the first 128 bits of its SHA-256.
    """
    name = np.frombuffer(hashlib.sha256(purpose.encode()).digest()[:16], dtype=np.uint32)
    return np.random.default_rng([seed, *(int(word) for word in name), *position])


def torch_seed(seed: int, purpose: Purpose, *position: int) -> int:
    """Return a 63-bit seed for a torch generator, drawn from the named stream."""
    return int(stream(seed, purpose, *position).integers(2**63 - 1))
