"""A sweep on a real cluster of two nodes that share nothing but a network; one of them is lost, then all of it."""

import os
import socket
import subprocess
import sys
import threading

import pytest

from animefer_core.record import read_record
from tests.sweep.cli.test_main import animefer
from tests.sweep.two_nodes import CLEAN, reason_against, two_nodes
from tests.to_the_bit import numbers

needs_two_nodes = pytest.mark.skipif(reason_against() is not None, reason=f"no two nodes: {reason_against()}")
SETTINGS = ["--models", "resnet18", "--strategies", "linear_probe,partial,full,progressive", "--seeds", "42,1"]
SETTINGS += ["--epochs", "8", "--image-size", "16", "--no-pretrained", "--save-models", "all"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    assert animefer("data", "demo", "--out", folder, "--per-class", 12).returncode == 0
    return folder


def records(folder):
    return {path.parent.name: read_record(path.parent) for path in folder.glob("trials/*/record.json")}


def wait_for(true, driver):
    while not true():
        assert driver.poll() is None, driver.communicate()
        threading.Event().wait(0.1)


@needs_two_nodes
def test_a_sweep_uses_both_nodes_and_outlives_one(faces, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with two_nodes(faces, out) as nodes:
        driver = nodes.drive(["sweep", "--data", str(faces), "--out", str(out), *SETTINGS])
        wait_for(lambda: any(record.environment["host"] == nodes.worker for record in records(out).values()), driver)
        assert len(records(out)) < 8, "the node is killed in the middle"
        nodes.kill(nodes.worker)
        _, said = driver.communicate(timeout=300)
    found = records(out)
    assert driver.returncode == 0, said
    assert len(found) == 8
    assert {record.status for record in found.values()} == {"completed"}
    assert {record.environment["host"] for record in found.values()} == {nodes.head, nodes.worker}
    here = tmp_path / "here"
    alone = animefer("sweep", "--data", faces, "--out", here, *SETTINGS)
    assert alone.returncode == 0, alone.stderr
    assert {name: numbers(record) for name, record in records(here).items()} == {
        name: numbers(record) for name, record in found.items()
    }, "the same to the bit as on this machine alone"


@needs_two_nodes
def test_a_lost_cluster_ends_the_sweep_with_a_word_and_a_new_one_takes_it_up(faces, tmp_path):
    out = tmp_path / "out"
    command = ["sweep", "--data", str(faces), "--out", str(out), *SETTINGS]
    with two_nodes(faces) as nodes:
        # A minute by default.
        nodes.environment["RAY_gcs_rpc_server_reconnect_timeout_s"] = "5"
        driver = nodes.drive(command)
        wait_for(lambda: len(records(out)) >= 2, driver)
        nodes.lose_cluster()
        _, said = driver.communicate(timeout=120)
        assert driver.returncode == 1
        assert said.splitlines()[-1] == (
            "animefer: the sweep's process ended without a word: it was killed, or its Ray cluster went away. What is "
            f"finished is kept in {out}; the same command goes on from there."
        )
        before = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/record.json")}
        nodes.start_head()
        nodes.start_worker()
        driver = nodes.drive(command)
        _, said = driver.communicate(timeout=300)
    assert driver.returncode == 0, said
    assert f"{len(before)} of 8 trials are there, {8 - len(before)} to train" in said
    assert {record.status for record in records(out).values()} == {"completed"}
    assert len(records(out)) == 8
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.fixture(scope="module")
def guarded():
    """A cluster that demands a token."""
    with two_nodes(cpus=2, secret={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}) as nodes:
        yield nodes


def sentence_of(nodes, tmp_path, *arguments, **environment):
    before = dict(nodes.environment)
    nodes.environment |= environment | {"HOME": str(tmp_path)}
    driver = nodes.drive(["sweep", *arguments, *SETTINGS, "--out", str(tmp_path / "out")])
    output, said = driver.communicate(timeout=120)
    nodes.environment = before
    assert (driver.returncode, output) == (2, ""), said
    assert not list(tmp_path.glob("out/trials/*"))
    (sentence,) = said.splitlines()
    return sentence.removeprefix(f"animefer: --address {nodes.address}: ")


@needs_two_nodes
@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "4" * 64}])
def test_a_missing_and_a_wrong_token(guarded, faces, tmp_path, token):
    assert sentence_of(guarded, tmp_path, "--data", str(faces), **token) == (
        "the cluster demands a token, and the one given here is missing or wrong; set RAY_AUTH_MODE=token and "
        "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) as on its head."
    )


@needs_two_nodes
def test_threads_that_no_machine_has(guarded, faces, tmp_path):
    sentence = sentence_of(guarded, tmp_path, "--data", str(faces), "--threads", "3", **guarded.secret)
    assert sentence == "animefer: --threads 3: no machine has more than 2 cores; give at most that many."


@needs_two_nodes
def test_a_card_where_there_is_none(guarded, faces, tmp_path):
    sentence = sentence_of(guarded, tmp_path, "--data", str(faces), "--device", "cuda", **guarded.secret)
    assert "no machine of the cluster" in sentence


@needs_two_nodes
def test_another_ray(guarded, faces, tmp_path):
    """The driver's is another, by a module that Python loads when it starts."""
    (tmp_path / "sitecustomize.py").write_text("import ray; ray.__version__ = '2.59.0'")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    sentence = sentence_of(guarded, tmp_path, "--data", str(faces), **guarded.secret, PYTHONPATH=path)
    assert sentence.startswith("the cluster runs another Ray or Python")
    assert "2.59.0" in sentence


def refused(*arguments, environment=CLEAN, before=""):
    code = f"{before}\nimport sys; sys.argv[0] = 'animefer'\nfrom sweep.cli.main import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    (sentence,) = result.stderr.splitlines()
    return sentence


def test_an_address_where_nothing_answers(faces, tmp_path):
    sentence = refused("sweep", "--data", faces, "--out", tmp_path / "out", *SETTINGS, "--address", "127.0.0.1:1")
    assert sentence == (
        "animefer: --address 127.0.0.1:1: nothing answers there (Connection refused); start the cluster's head by "
        "`ray start --head --port=1`, or leave --address and RAY_ADDRESS out to use this machine."
    )
    assert not (tmp_path / "out").exists()


def test_an_address_where_something_else_answers(faces, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        sentence = refused("sweep", "--data", faces, "--out", tmp_path / "out", *SETTINGS, "--address", address)
    assert sentence == (
        f"animefer: --address {address}: what answers there is no Ray cluster; give the address that `ray start "
        "--head` told."
    )


@pytest.mark.parametrize("address", ["ray://head:10001", "nowhere", "head:port", ":6379"])
def test_addresses_that_are_none(faces, tmp_path, address):
    sentence = refused("sweep", "--data", faces, "--out", tmp_path / "out", *SETTINGS, "--address", address)
    assert sentence.startswith("animefer: --address: ")
    assert ("animefer submit --address http://HEAD:8265 -- sweep" in sentence) == address.startswith("ray://")


def test_auto_without_a_cluster(faces, tmp_path):
    environment = CLEAN | {"RAY_TMPDIR": str(tmp_path)}
    arguments = ("sweep", "--data", faces, "--out", tmp_path / "out", *SETTINGS, "--address", "auto")
    assert refused(*arguments, environment=environment).startswith("animefer: --address auto: ")
