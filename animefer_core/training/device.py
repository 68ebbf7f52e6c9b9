"""Where a trial computes and in which precision, each with the reason that is recorded."""

import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from animefer_core.config import Precision
from animefer_core.errors import InputError

SMALLEST_BF16_IMAGE = 32
"""Pixels. On smaller images the last feature maps of a network are smaller than its kernels, and the gradients of
such bf16 convolutions come out of a processor wrong, not a number as often as not (torch 2.15, AVX-512 BF16)."""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """A device and what is done on it."""

    device: torch.device
    device_name: str
    precision: str
    """What is used: fp32 or bf16 (autocast; weights, moments and the loss stay in fp32)."""
    precision_reason: str

    def autocast(self) -> torch.autocast:
        """Return the context in which the network is called."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def synchronise(self) -> None:
        """Wait until all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def choose_compute(device: str, precision: Precision, image_size: int) -> Compute:
    """Return where to compute: `device` is "auto" (CUDA, else MPS, else CPU) or any torch device string.

    `image_size` is the side of the network's input in pixels. Raises InputError for a device that is not here, and
    for bf16 where it would be wrong.
    """
    chosen = torch.device(_best_device() if device == "auto" else _checked(device))
    in_hardware, why = bf16_in_hardware(chosen)
    if chosen.type == "cpu" and image_size < SMALLEST_BF16_IMAGE:
        if precision == "bf16":
            raise InputError(
                f"--precision bf16: on a processor, convolutions of images under {SMALLEST_BF16_IMAGE} pixels have "
                f"wrong gradients in bf16; take fp32, or --image-size {SMALLEST_BF16_IMAGE} or more."
            )
        in_hardware, why = False, f"images are smaller than {SMALLEST_BF16_IMAGE} pixels"
    if precision == "auto":
        used, reason = ("bf16" if in_hardware else "fp32"), f"auto: {why}"
    else:
        used, reason = precision, "as asked" if precision == "fp32" or in_hardware else f"as asked, though {why}"
    return Compute(device=chosen, device_name=_device_name(chosen), precision=used, precision_reason=reason)


def bf16_in_hardware(device: torch.device) -> tuple[bool, str]:
    """Return whether a device multiplies bf16 in hardware, and the words for it.

    Emulated bf16 is many times slower than fp32, so software support does not count.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return native, f"this card {'has' if native else 'lacks'} bf16 in hardware"
    if device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return native, f"this processor {'has' if native else 'lacks'} AVX-512 BF16 or AMX"
    return False, f"bf16 is not used on {device.type}"


def median_latency_ms(call: Callable[[], object], compute: Compute, repeats: int = 5) -> float:
    """Return the median duration of a call in milliseconds, after two calls that are not counted."""
    durations = []
    for number in range(repeats + 2):
        compute.synchronise()
        started = time.perf_counter()
        call()
        compute.synchronise()
        if number >= 2:
            durations.append(time.perf_counter() - started)
    return statistics.median(durations) * 1e3


def reset_peak_memory(compute: Compute) -> None:
    """Start a new peak, so that a process that runs several trials reports each one's own."""
    if compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(compute.device)
    elif sys.platform == "linux":
        # Writing 5 resets VmHWM (man 5 proc_pid_clear_refs); containers may forbid it, and the peak is then
        # the process's, an upper bound.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_bytes(compute: Compute) -> int:
    """Return the peak since the last reset: allocated on the card, or resident in the whole process on a CPU."""
    if compute.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(compute.device))
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _checked(device: str) -> str:
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: this machine has no such device; try --device cpu.") from error
    return device


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu" and Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "cpu")
    return str(device)
