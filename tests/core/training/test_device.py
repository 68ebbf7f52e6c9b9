import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from animefer_core.errors import InputError
from animefer_core.record import TrialRecord
from animefer_core.training import device
from animefer_core.training.device import (
    bf16_in_hardware,
    choose_compute,
    median_latency_ms,
    peak_memory_bytes,
    reset_peak_memory,
)
from animefer_core.training.loop import place
from animefer_core.trial import build_network, run_trial

SIDE = 32
CPU = choose_compute("cpu", "fp32", SIDE)


def pretend(monkeypatch: pytest.MonkeyPatch, *, hardware: bool) -> None:
    monkeypatch.setattr(device, "bf16_in_hardware", lambda chosen: (hardware, "the reason"))


class TestPrecision:
    @pytest.mark.parametrize(("hardware", "used"), [(True, "bf16"), (False, "fp32")])
    def test_auto_follows_the_hardware_and_says_why(self, monkeypatch, hardware, used):
        pretend(monkeypatch, hardware=hardware)
        compute = choose_compute("cpu", "auto", SIDE)
        assert (compute.precision, compute.precision_reason) == (used, "auto: the reason")

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_what_is_asked_for_is_used(self, monkeypatch, precision):
        pretend(monkeypatch, hardware=True)
        compute = choose_compute("cpu", precision, SIDE)
        assert (compute.precision, compute.precision_reason) == (precision, "as asked")

    def test_bf16_without_hardware_is_used_and_the_reason_warns(self, monkeypatch):
        pretend(monkeypatch, hardware=False)
        compute = choose_compute("cpu", "bf16", SIDE)
        assert (compute.precision, compute.precision_reason) == ("bf16", "as asked, though the reason")

    @pytest.mark.parametrize(("side", "used"), [(31, "fp32"), (32, "bf16")])
    def test_auto_keeps_small_images_out_of_bf16_on_a_processor(self, monkeypatch, side, used):
        pretend(monkeypatch, hardware=True)
        assert choose_compute("cpu", "auto", side).precision == used

    def test_small_images_are_refused_where_bf16_is_asked_for(self):
        with pytest.raises(InputError, match=r"--precision bf16: .* under 32 pixels .* --image-size 32"):
            choose_compute("cpu", "bf16", 16)

    def test_small_images_may_be_asked_for_in_fp32(self):
        assert choose_compute("cpu", "fp32", 16).precision_reason == "as asked"

    def test_fp32_needs_no_hardware(self, monkeypatch):
        pretend(monkeypatch, hardware=False)
        assert choose_compute("cpu", "fp32", SIDE).precision_reason == "as asked"

    @pytest.mark.parametrize(
        ("avx", "amx", "native"), [(True, False, True), (False, True, True), (False, False, False)]
    )
    def test_a_processor_with_avx512_bf16_or_amx_has_it(self, monkeypatch, avx, amx, native):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        verb = "has" if native else "lacks"
        assert bf16_in_hardware(torch.device("cpu")) == (native, f"this processor {verb} AVX-512 BF16 or AMX")

    def test_emulation_on_a_card_does_not_count(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
        assert bf16_in_hardware(torch.device("cuda")) == (False, "this card lacks bf16 in hardware")

    def test_an_apple_gpu_stays_in_fp32(self):
        assert bf16_in_hardware(torch.device("mps")) == (False, "bf16 is not used on mps")

    @pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
    def test_the_network_computes_in_it(self, precision, dtype):
        with choose_compute("cpu", precision, SIDE).autocast():
            assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


class TestDevice:
    @pytest.mark.parametrize(
        ("cuda", "mps", "best"),
        [(True, False, "cuda"), (False, True, "mps"), (True, True, "cuda"), (False, False, "cpu")],
    )
    def test_auto_takes_cuda_else_mps_else_the_cpu(self, monkeypatch, cuda, mps, best):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(device, "_device_name", str)
        pretend(monkeypatch, hardware=False)
        assert choose_compute("auto", "fp32", SIDE).device == torch.device(best)

    @pytest.mark.parametrize("asked", ["gpu", "", "cuda:99", "cuda:-1", "meta"])
    def test_a_device_that_is_not_here_is_named_in_one_sentence(self, asked):
        with pytest.raises(InputError) as caught:
            choose_compute(asked, "auto", SIDE)
        sentence = f"--device {asked}: this machine has no such device; try --device cpu."
        assert str(caught.value) == sentence

    def test_a_cpu_has_a_name(self):
        assert CPU.device_name

    def test_a_call_is_timed_often_after_a_warm_up(self):
        calls = []
        assert median_latency_ms(lambda: calls.append(1), CPU, repeats=5) >= 0
        assert len(calls) == 2 + 5

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no peak that starts anew")
    def test_the_peak_holds_what_was_allocated_since_the_reset(self):
        reset_peak_memory(CPU)
        before = peak_memory_bytes(CPU)
        block = np.ones(256 * 2**20, dtype=np.uint8)
        del block
        # Half of it: the system may take other pages of the process away meanwhile.
        assert peak_memory_bytes(CPU) >= before + 128 * 2**20


@pytest.fixture(scope="module", params=[("resnet18", "partial"), ("vit_tiny_patch16_224", "full")])
def records(request, make_config, make_images) -> dict[str, TrialRecord]:
    config, images = make_config(*request.param), make_images()
    return {
        "fp32": run_trial(config, images, device="cpu"),
        "bf16": run_trial(replace(config, precision="bf16"), images, device="cpu"),
        "other seed": run_trial(make_config(*request.param, seed=1), images, device="cpu"),
    }


@pytest.mark.skipif(not bf16_in_hardware(torch.device("cpu"))[0], reason="this processor has no bf16 in hardware")
@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_every_gradient_in_bf16_is_that_of_fp32_but_for_rounding(make_config, model, side):
    """What the hardware's own kernels compute, by the shapes that occur: channels last, down to maps of one pixel."""
    gradients = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        network = build_network(make_config(model), 6, None)
        compute = choose_compute("cpu", precision, side)
        place(network, compute)
        images = torch.randn(8, 3, side, side).contiguous(memory_format=torch.channels_last)
        with compute.autocast():
            logits = network.model.eval()(images)
        logits.float().square().sum().backward()
        gradients[precision] = {name: part.grad.flatten() for name, part in network.model.named_parameters()}
    for name, exact in gradients["fp32"].items():
        alike = torch.nn.functional.cosine_similarity(exact, gradients["bf16"][name], dim=0)
        assert alike > 0.9, (name, float(alike))


class TestAgreement:
    """The same trials in both precisions: what bf16 changes is rounding, and far less than another seed changes.

    bf16 rounds to 8 significant bits, half a unit in the last place each time; over the about twenty layers of
    these networks such errors add up like a random walk.
    """

    TOLERANCE = torch.finfo(torch.bfloat16).eps / 2 * 20**0.5

    def difference(self, records: dict[str, TrialRecord], other: str) -> np.ndarray:
        """Return the differences of the test images' probabilities from fp32's."""
        ours, theirs = (softmax(records[name].predictions.test_logits, axis=1) for name in ("fp32", other))
        return np.abs(ours - theirs)

    def test_probabilities_agree(self, records):
        assert self.difference(records, "bf16").max() < self.TOLERANCE

    def test_losses_agree(self, records):
        for ours, theirs in zip(records["fp32"].history, records["bf16"].history, strict=True):
            for name in ("train_loss", "validation_loss"):
                assert theirs[name] == pytest.approx(ours[name], rel=self.TOLERANCE)

    def test_another_seed_changes_ten_times_as_much(self, records):
        assert 10 * self.difference(records, "bf16").mean() < self.difference(records, "other seed").mean()

    def test_it_was_bf16(self, records):
        assert records["bf16"].environment["precision"] == "bf16"
        assert self.difference(records, "bf16").max() > 0
