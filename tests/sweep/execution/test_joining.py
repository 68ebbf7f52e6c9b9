"""What a cluster's machines must have in common with the driver's."""

import signal

import pytest
import ray

from animefer_core.errors import InputError
from sweep.execution.cluster import check_versions, connect


@pytest.mark.parametrize(
    ("package", "version", "fits"),
    [
        ("animefer", "0.1.1", False),
        ("torch", "2.14.0", False),
        ("torchvision", "0.28.2", False),
        ("torch", "2.15.9", True),
        ("timm", "1.1.31", False),
    ],
)
def test_versions_that_would_make_other_numbers(package, version, fits):
    here = {"animefer": "0.1.0", "torch": "2.15.0+cu130", "torchvision": "0.29.2", "timm": "1.0.31"}
    if fits:
        check_versions(here | {package: version}, here, "--address HEAD:6379: 10.0.0.2")
        return
    with pytest.raises(InputError) as refusal:
        check_versions(here | {package: version}, here, "--address HEAD:6379: 10.0.0.2")
    assert str(refusal.value) == (
        f"--address HEAD:6379: 10.0.0.2 has {package} {version}, and this machine {here[package]}; install the same on "
        "every machine."
    )


@pytest.fixture
def events(monkeypatch):
    """What happens, in order, when Ray starts, ends, and a signal is heard."""
    happened = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, _: happened.append(signal.Signals(number).name))
    monkeypatch.setattr(ray, "shutdown", lambda: happened.append("ended"))
    yield happened
    for number, handler in before.items():
        signal.signal(number, handler)


SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_ray_starts_is_heard_when_it_has_ended_again(events, monkeypatch, number):
    def init(**_):
        if number == signal.SIGTERM:
            # As Ray's own handler does, which it puts in the place of ours.
            raise SystemExit(number)
        signal.raise_signal(number)
        events.append("started")

    monkeypatch.setattr(ray, "init", init)
    connect()
    assert events == [*(["started"] if number != signal.SIGTERM else []), "ended", number.name]


def test_a_signal_that_is_ignored_does_not_end_ray(events, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(ray, "init", lambda **_: signal.raise_signal(signal.SIGINT))
    connect()
    assert events == []
