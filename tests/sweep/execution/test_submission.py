"""A sweep as a job on a cluster's head: what is submitted, what is refused, and one real job."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from animefer_core.errors import InputError
from sweep.execution import submission
from sweep.execution.environment import configure_client
from sweep.execution.submission import entrypoint_of, submit

HEAD = "http://head:8265"
SWEEP = ("sweep", "--data", "/images", "--out", "/results")
needs_the_extra = pytest.mark.skipif(find_spec("aiohttp") is None, reason="the extra animefer[cluster] is missing")


class Client:
    """A job server's client whose one job ends as told."""

    def __init__(self, status="SUCCEEDED", exit_code=0, lost=False):
        self.submitted = []
        self._lost = lost
        self._info = SimpleNamespace(
            status=SimpleNamespace(value=status, is_terminal=lambda: True), driver_exit_code=exit_code
        )

    def submit_job(self, **job):
        self.submitted.append(job)
        return "job_1"

    def get_job_info(self, job):
        return self._info

    async def tail_job_logs(self, job):
        yield "[1/2] resnet18/full\n"
        if self._lost:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


def submitted(monkeypatch, client, *, wait=True):
    """Submit a sweep to a canned client; return the exit code and the lines told."""
    monkeypatch.setattr(submission, "_client", lambda address: client)
    told = []
    return submit(HEAD, SWEEP, wait=wait, say=told.append), told


def test_the_job_is_the_sweeps_command_line_and_nothing_is_uploaded(monkeypatch):
    client = Client()
    submitted(monkeypatch, client)
    (job,) = client.submitted
    assert job["entrypoint"] == "animefer sweep --data /images --out /results"
    assert job["runtime_env"] == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}}


def test_words_with_spaces_stay_one_word():
    assert entrypoint_of([*SWEEP[:3], "--out", "/my results"]).endswith("--out '/my results'")


def test_the_id_comes_first_and_then_how_to_follow_and_stop_it(monkeypatch):
    code, (first, follow, stop) = submitted(monkeypatch, Client("FAILED", 1), wait=False)
    assert (code, first) == (0, "job_1")
    assert f"ray job logs --follow --address {HEAD} job_1" in follow
    assert f"ray job stop --address {HEAD} job_1" in stop


@pytest.mark.parametrize(
    ("status", "exit_code", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", -9, 1),
        ("FAILED", None, 1),
        ("STOPPED", 0, 1),
    ],
)
def test_waiting_tells_the_log_and_ends_as_the_sweep_does(monkeypatch, status, exit_code, code):
    ended, told = submitted(monkeypatch, Client(status, exit_code))
    assert (ended, told[3]) == (code, "[1/2] resnet18/full")
    assert told[-1] == f"Job job_1: {status.lower()}."


def test_a_head_without_animefer_is_named(monkeypatch):
    with pytest.raises(InputError, match="the head finds no animefer"):
        submitted(monkeypatch, Client("FAILED", 127))


def test_a_lost_connection_is_no_success(monkeypatch):
    code, told = submitted(monkeypatch, Client(lost=True))
    assert (code, told[-1].startswith("The connection was lost")) == (1, True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), "there is no command; write it after --"),
        (("swep", "--out", "/results"), "'swep' is nothing to submit"),
        (("report", "/results"), "'report' is nothing to submit"),
        (("sweep",), "name the results folder on the head by --out"),
        (("sweep", "--out", "results"), "--out results: the path is the head's"),
        (("sweep", "--out=results"), "--out results: the path is the head's"),
        (("sweep", "--out", "/results", "--data", "images"), "--data images: the path is the head's"),
        (("sweep", "--out"), "--out : the path is the head's"),
    ],
)
def test_what_means_nothing_on_the_head_is_refused(command, words):
    with pytest.raises(InputError) as refused:
        entrypoint_of(command)
    assert words in str(refused.value)


def test_drawn_faces_need_no_path():
    assert entrypoint_of(["sweep", "--data", "demo", "--out", "/results"])


def test_an_address_that_is_no_dashboards_is_refused():
    with pytest.raises(InputError, match="--address head:6379: write the head's dashboard"):
        submit("head:6379", SWEEP, wait=False, say=print)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(submission, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"install animefer\[cluster\]"):
        submit(HEAD, SWEEP, wait=False, say=print)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without a token, in an environment that knows no cluster."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    # Set and unset, so that what is set meanwhile goes too.
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_address_typed_wins_over_the_environments(home, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://elsewhere:8265")
    configure_client()
    assert not {"RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"} & set(os.environ)


def test_a_token_at_home_is_brought_along(home):
    configure_client()
    assert "RAY_AUTH_MODE" not in os.environ
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("")
    configure_client()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def animefer(*arguments, home, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "sweep.cli.main", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**clean, "HOME": str(home), **environment}, timeout=300
    )


def free_ports(count):
    """Return ports that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


OWN_PORTS = (
    "port",
    "dashboard-port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """The dashboard's address of a real head that demands a token, and the file of that token."""
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    ports = dict(zip(OWN_PORTS, free_ports(len(OWN_PORTS)), strict=True))
    scripts = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        # The job finds this code also where another is installed.
        "PYTHONPATH": str(Path(submission.__file__).parents[2]),
    }
    # Sockets have short names; pytest's folders have long ones.
    temporary = f"/tmp/ray-{secrets.token_hex(4)}"
    options = [f"--{name}={port}" for name, port in ports.items()]
    options += [f"--temp-dir={temporary}", "--num-cpus=2", "--num-gpus=0", "--dashboard-host=127.0.0.1", "--block"]
    started = subprocess.Popen(
        [scripts / "ray", "start", "--head", *options], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert any("--block" in line for line in started.stdout), "the head did not start"
        yield f"http://127.0.0.1:{ports['dashboard-port']}", token
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)
        # The last of Ray's processes may still write their logs there.
        shutil.rmtree(temporary, ignore_errors=True)


@needs_the_extra
def test_a_real_sweep_runs_as_a_job_and_its_records_lie_on_the_head(head, tmp_path):
    address, token = head
    out = tmp_path / "out"
    grid = ("--models", "resnet18", "--strategies", "linear_probe", "--seeds", "1,2")
    small = ("--preset", "quick", "--per-class", 12, "--epochs", 1)
    done = animefer(
        *("submit", "--address", address, "--wait", "--", "sweep", *grid, *small, "--out", out),
        home=tmp_path,
        RAY_AUTH_TOKEN_PATH=str(token),
        # That of another cluster, as users have it set for sweeps.
        RAY_ADDRESS="127.0.0.1:1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(out.glob("trials/*/record.json"))) == 2
    assert "[2/2] resnet18/linear_probe" in done.stdout
    assert done.stderr == ""


@needs_the_extra
def test_what_the_sweep_refuses_on_the_head_exits_2_here(head, tmp_path):
    address, token = head
    command = ("submit", "--address", address, "--wait", "--", "sweep", "--data", "/nowhere", "--out", tmp_path / "out")
    refused = animefer(*command, home=tmp_path, RAY_AUTH_TOKEN_PATH=str(token))
    assert (refused.returncode, "/nowhere does not exist" in refused.stdout) == (2, True), refused.stderr


@needs_the_extra
def test_a_job_that_is_stopped_may_still_save(head, tmp_path):
    """With what `submit` sets, and a command that takes longer to end than Ray by itself lets it."""
    address, token = head
    program = f"""
import asyncio
from ray.job_submission import JobSubmissionClient
from sweep.execution.submission import ENVIRONMENT
client = JobSubmissionClient("{address}")
command = "trap 'sleep 5; echo saved; exit 1' TERM; echo ready; while true; do sleep 0.1; done"
job = client.submit_job(entrypoint=command, runtime_env={{"env_vars": ENVIRONMENT}})
async def follow():
    async for lines in client.tail_job_logs(job):
        print(lines)
        if "ready" in lines.splitlines():
            client.stop_job(job)
asyncio.run(follow())
print(client.get_job_status(job))
"""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    for name in ("RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert "saved" in done.stdout.splitlines(), done.stdout + done.stderr
    assert "STOPPED" in done.stdout


@needs_the_extra
@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_TOKEN": secrets.token_hex(32)}], ids=["none", "another"])
def test_a_stranger_is_turned_away_in_one_sentence(head, tmp_path, token):
    refused = animefer("submit", "--address", head[0], "--", *SWEEP, home=tmp_path, **token)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "the cluster did not accept the token" in refused.stderr


@needs_the_extra
def test_an_address_where_nothing_answers_is_one_sentence(tmp_path):
    (port,) = free_ports(1)
    refused = animefer("submit", "--address", f"http://127.0.0.1:{port}", "--", *SWEEP, home=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "no Ray dashboard answers there" in refused.stderr


@pytest.mark.parametrize("option", ["--data", "--config", "--weights-dir", "--storage"])
def test_every_path_is_written_in_full(option):
    with pytest.raises(InputError, match=f"{option} kept: the path is the head's; write it in full"):
        entrypoint_of(["sweep", "--out", "/x", option, "kept"])


def test_a_store_is_a_path_everywhere():
    assert entrypoint_of([*SWEEP, "--storage", "s3://bucket/x"]).endswith("--storage s3://bucket/x")
