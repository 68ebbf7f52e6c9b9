"""Packing of trials onto machines that are only described: no GPU and no Ray is needed."""

from dataclasses import replace

import pytest
import torch

from animefer_core.errors import InputError
from sweep.execution import packing
from sweep.execution.packing import Node, Peak, Share, available_cores, available_memory, pack, this_machine
from sweep.plan import grid
from sweep.settings import resolve
from tests.sweep.records import one_split

GB = 1_000_000_000
SMALL, LARGE = ("resnet18", "linear_probe"), ("vit_b_16", "full")
NEEDS = {SMALL: Peak(process=2 * GB, card=9 * GB), LARGE: Peak(process=8 * GB, card=30 * GB)}
LAPTOP = Node(name="laptop", cpus=8, memory=100 * GB)
BOX = Node(name="box", cpus=32, memory=200 * GB, gpus=2, gpu_bytes=80 * GB)


def packed(*nodes, threads=None, gpu_share=None, on_cards=False):
    return pack(nodes, NEEDS, threads=threads, gpu_share=gpu_share, on_cards=on_cards)


def test_on_a_processor_each_trial_has_one_thread_and_every_core_has_a_trial():
    here = packed(LAPTOP)
    assert here.threads == 1
    assert {here.at_once(share) for share in here.shares.values()} == {8}


def test_where_memory_holds_fewer_trials_each_has_more_threads():
    here = packed(replace(LAPTOP, memory=20 * GB))
    assert here.threads == 4, "two trials of 8 GB fit into 80 % of 20 GB"
    assert here.at_once(here.shares[LARGE]) == 2


def test_a_trial_takes_as_many_cpus_as_its_memory_is_worth():
    here = packed(replace(LAPTOP, memory=20 * GB), threads=1)
    assert here.shares == {SMALL: Share(cpus=1), LARGE: Share(cpus=4)}


def test_a_trial_that_no_memory_holds_has_the_machine_to_itself():
    assert packed(replace(LAPTOP, memory=2 * GB), threads=1).shares[LARGE] == Share(cpus=8)


def test_machines_of_a_cluster_add_up_but_no_trial_is_split_between_them():
    both = packed(replace(LAPTOP, cpus=3), replace(LAPTOP, cpus=5), threads=2)
    assert both.at_once(Share(cpus=2)) == 1 + 2


def test_cards_are_shared_by_the_memory_that_trials_need():
    there = packed(BOX, on_cards=True)
    assert {name: share.gpu for name, share in there.shares.items()} == {SMALL: 0.125, LARGE: 0.5}
    assert there.threads == 2, "32 cores for 2 cards of 8 trials"


def test_shares_are_counted_per_card_and_never_across_cards():
    assert packed(BOX, gpu_share=0.4, on_cards=True).at_once(Share(cpus=1, gpu=0.4)) == 4
    assert packed(BOX, gpu_share=0.6, on_cards=True).at_once(Share(cpus=1, gpu=0.6)) == 2


def test_a_third_of_a_card_fits_three_times():
    there = packed(replace(BOX, gpu_bytes=95 * GB), on_cards=True)
    assert there.shares[LARGE].gpu * 3 <= 1
    assert there.shares[LARGE].at_once_on(BOX) == 6


def test_no_more_trials_share_a_card_than_there_are_cores_for():
    assert packed(replace(BOX, cpus=6), on_cards=True).shares[SMALL].gpu == pytest.approx(1 / 3, abs=1e-4)
    assert packed(BOX, threads=16, on_cards=True).shares[SMALL].gpu == 1


def test_the_smallest_card_decides_and_an_unknown_one_is_not_shared():
    assert packed(BOX, replace(BOX, gpu_bytes=40 * GB), on_cards=True).shares[LARGE].gpu == 1
    assert packed(replace(BOX, gpu_bytes=0), on_cards=True).shares[SMALL].gpu == 1


def test_machines_without_cards_are_left_out_where_trials_train_on_cards():
    assert [node.name for node in packed(LAPTOP, BOX, on_cards=True).nodes] == ["box"]


@pytest.mark.parametrize(("nodes", "said"), [((LAPTOP,), "this machine has 8"), ((LAPTOP, BOX), "more than 32")])
def test_threads_that_no_machine_has_are_refused(nodes, said):
    with pytest.raises(InputError, match=f"--threads 33: .*{said} cores; give at most that many"):
        packed(*nodes, threads=33)


def test_trials_run_by_share_the_largest_first_and_seed_by_seed_within_one():
    settings = resolve({"models": "resnet18,vit_b_16", "strategies": "linear_probe,full", "seeds": "1,2"})
    trials = grid(settings, one_split(), weights=dict.fromkeys(settings.models, "random"), threads=1)
    needs = {(model, name): NEEDS[LARGE if model == "vit_b_16" else SMALL] for model, name, _ in map(_cell, trials)}
    there = pack([BOX], needs, threads=None, gpu_share=None, on_cards=True)
    ordered = [_cell(config) for config in there.ordered(trials)]
    assert [cell[0] for cell in ordered] == ["vit_b_16"] * 4 + ["resnet18"] * 4
    assert [cell[2] for cell in ordered] == [1, 1, 2, 2] * 2


def _cell(config):
    return config.model, config.strategy.name, config.seed


def trial_of(model, strategy):
    settings = resolve({"models": model, "strategies": strategy, "seeds": "1"})
    return grid(settings, one_split(), weights={model: "random"}, threads=1)[0]


def test_timings_are_marked_where_a_trial_shares_its_device():
    there = packed(BOX, gpu_share=0.5, on_cards=True)
    assert there.shares_device(trial_of(*SMALL))
    assert not there.alone().shares_device(trial_of(*SMALL)), "two trials on two cards are alone on each"
    assert packed(LAPTOP).shares_device(trial_of(*SMALL))
    assert not packed(LAPTOP, threads=8).shares_device(trial_of(*SMALL))


def test_alone_is_a_whole_card_each():
    assert {share.gpu for share in packed(BOX, on_cards=True).alone().shares.values()} == {1.0}


def test_cards_that_torch_cannot_use_are_an_error_with_the_way_out(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(packing, "_nvidia_cards", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"has 4 GPUs, and torch .* none of them; install .* or say --device cpu"):
        this_machine("auto")
    assert this_machine("cpu").gpus == 0


def test_a_card_by_number_is_not_a_sweeps_to_choose():
    with pytest.raises(InputError, match="CUDA_VISIBLE_DEVICES=1"):
        this_machine("cuda:1")


def test_a_containers_quota_counts(monkeypatch, tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(packing, "Path", lambda _: tmp_path / "cpu.max")
    assert available_cores() == 1


@pytest.mark.parametrize(
    ("node", "threads", "way_out"),
    [
        (replace(BOX, cpus=1), None, "1 would be left idle, for it has 1 cores; give it more"),
        (replace(BOX, cpus=4), 4, "1 would be left idle, for it has 4 cores; give --threads 2 at most"),
    ],
)
def test_cards_for_which_cores_are_lacking_are_an_error_with_the_way_out(node, threads, way_out):
    with pytest.raises(InputError, match=way_out):
        packed(node, threads=threads, on_cards=True)


SLIM = replace(BOX, name="slim", cpus=8)


def test_the_machine_with_the_fewest_cores_a_card_decides_the_threads():
    assert packed(BOX, SLIM, on_cards=True).threads == 1, "8 cores for 2 cards of 4 trials"
    assert {share.gpu for share in packed(BOX, SLIM, on_cards=True).shares.values()} == {0.25, 0.5}


def test_the_machine_with_the_least_memory_a_core_decides_the_threads():
    assert packed(LAPTOP, replace(LAPTOP, memory=20 * GB)).threads == 1
    both = packed(replace(LAPTOP, memory=20 * GB), replace(LAPTOP, memory=30 * GB))
    assert both.threads == 2, "on the one with more memory three trials would leave two of eight cores"


def test_a_part_of_memory_is_left_to_others():
    assert packed(replace(LAPTOP, memory=16 * GB)).threads == 8, "two trials of 8 GB are more than 80 % of 16 GB"


def test_a_strategy_without_a_share_has_the_hungriest_of_its_model():
    shares = {
        ("resnet18", "linear_probe"): Share(cpus=1),
        ("resnet18", "full"): Share(cpus=4),
        ("a", "b"): Share(cpus=9),
    }
    config = trial_of("resnet18", "partial")
    assert packing.Packing(nodes=[LAPTOP], threads=1, shares=shares).share(config) == Share(cpus=4)


def test_a_trial_on_each_of_two_cards_shares_none():
    config = trial_of("resnet18", "full")

    def shares_device(part):
        shares = {("resnet18", "full"): Share(cpus=1, gpu=part)}
        return packing.Packing(nodes=[BOX], threads=1, shares=shares).shares_device(config)

    assert not shares_device(0.6)
    assert shares_device(0.5)


def test_cards_that_the_user_has_hidden_are_no_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(packing, "_nvidia_cards", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert this_machine("auto").gpus == 0


def test_the_cores_of_an_allocation_count(monkeypatch, tmp_path):
    monkeypatch.setattr(packing, "Path", lambda _: tmp_path / "no quota")
    monkeypatch.setattr(packing.os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert available_cores() == 3


@pytest.mark.parametrize(("limit", "free"), [("max", 3_072_000), ("1000000", 1_000_000), ("9999999999", 3_072_000)])
def test_memory_is_what_is_available_and_what_a_container_allows(monkeypatch, tmp_path, limit, free):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1000 kB\nMemAvailable: 3000 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(packing, "Path", lambda name: tmp_path / name.rpartition("/")[2])
    assert available_memory() == free
