"""The energy counter against a driver library of the test's own: no card is needed, and none is asked."""

import sys
import types

import pytest
import torch

from animefer_core.training.energy import energy_counter

CARD = torch.device("cuda", 1)


class NoSuchThingError(Exception):
    pass


@pytest.fixture
def driver(monkeypatch):
    """A driver with two cards, of which CUDA sees the second alone."""
    counted = {"GPU-one": 7_000, "GPU-two": 123_000}

    def find(uuid):
        if uuid not in counted:
            raise NoSuchThingError
        return uuid

    library = types.ModuleType("pynvml")
    library.NVMLError = NoSuchThingError
    library.nvmlInit = lambda: None
    library.nvmlDeviceGetHandleByUUID = find
    library.nvmlDeviceGetTotalEnergyConsumption = counted.__getitem__
    library.counted = counted
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: types.SimpleNamespace(uuid="two"))
    return library


def test_the_cards_own_counter_is_read_in_joules(driver):
    read = energy_counter(CARD)
    assert read() == 123
    driver.counted["GPU-two"] += 4_500
    assert read() == 127.5


def test_a_processor_is_not_counted(driver):
    assert energy_counter(torch.device("cpu")) is None


def test_a_card_that_the_driver_does_not_know_is_not_counted(driver):
    del driver.counted["GPU-two"]
    assert energy_counter(CARD) is None


def test_a_card_without_a_counter_is_not_counted(driver):
    def refuse(card):
        raise NoSuchThingError

    driver.nvmlDeviceGetTotalEnergyConsumption = refuse
    assert energy_counter(CARD) is None


def test_without_the_library_nothing_is_counted(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy_counter(CARD) is None
