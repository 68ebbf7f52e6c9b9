"""What a card's own counter says of the energy that it took."""

from collections.abc import Callable

import torch


def energy_counter(device: torch.device) -> Callable[[], float] | None:
    """Return what reads how many joules a card took since its driver was loaded; None where nothing counts them.

    NVIDIA's cards count from Volta on (nvmlDeviceGetTotalEnergyConsumption, in millijoules), all that the card takes,
    whoever uses it. Processors have such counters too, which only root may read.
    """
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:  # The core trains where only torch, torchvision and timm are installed.
        return None
    try:
        pynvml.nvmlInit()
        # NVML numbers all cards of the machine, CUDA those that it may see: only the name is the same.
        card = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(card)
    except pynvml.NVMLError:  # An older card, a part of one, or no driver of NVIDIA's.
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(card)) / 1e3
