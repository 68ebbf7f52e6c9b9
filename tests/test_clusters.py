"""The files in clusters/: well formed, as Ray reads them, closed to strangers; and the SLURM job, with SLURM played."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.main import get_command

from sweep.cli.main import app

FOLDER = Path(__file__).parents[1] / "clusters"
LAUNCHER = ("aws", "gcp", "onprem")
"""Files of `ray up`."""
STARTERS = ("slurm.sbatch", "kuberay-rayjob.yaml", *(f"{name}.yaml" for name in LAUNCHER))
SBATCH = (FOLDER / "slurm.sbatch").read_text(encoding="utf-8")

# Capitals that are not to be filled in: names of Ray, SLURM, the shell and the clouds.
NAMES = re.compile(r"\$\w+|\$\{\w+|\b(RAY|SLURM)_\w+|#SBATCH|\b(CPU|GPU|PATH|USR1|TERM|EXIT|TERMINATE|PERSISTENT|IP)\b")


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def loaded(name):
    return yaml.safe_load(text(name))


def split(name):
    """Return what a file says in comments, and the rest."""
    lines = text(name).splitlines()
    comments = [line for line in lines if re.match(r"\s*#(?!SBATCH)", line)]
    return "\n".join(comments), "\n".join(line for line in lines if line not in comments)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_every_file_is_listed_and_nothing_else_is_there(name):
    assert name == "README.md" or f"({name})" in text("README.md")


@pytest.mark.parametrize("name", STARTERS)
def test_what_is_to_be_filled_in_stands_at_the_top(name):
    comments, rest = split(name)
    asked = set(re.findall(r"\b[A-Z][A-Z_]+\b", NAMES.sub("", comments.partition("Fill in:")[2])))
    used = set(re.findall(r"\b[A-Z][A-Z_]+\b", NAMES.sub("", rest)))
    assert used <= asked
    assert used


@pytest.mark.parametrize("name", [*STARTERS, "README.md"])
def test_no_secret_no_registry_and_no_open_dashboard(name):
    content = text(name)
    assert "0.0.0.0" not in content
    assert not re.search(r"[0-9a-fA-F]{16}", content)
    # A group of Kubernetes' API and the name of a resource.
    assert set(re.findall(r"[\w.-]+\.(?:com|org|io|net|dev)\b", content)) <= {"ray.io", "nvidia.com"}
    assert set(re.findall(r"\w+://[\w.:]+", content)) <= {"http://localhost:8265"}


def with_rays_defaults(name):
    # Not above: other tests set what Ray reads from the environment before it is imported.
    from ray.autoscaler._private.util import prepare_config

    return prepare_config(loaded(f"{name}.yaml"))


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_launcher_reads_it(name):
    import ray.autoscaler
    from ray.autoscaler._private.util import validate_config

    config = loaded(f"{name}.yaml")
    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    jsonschema.validate(config, json.loads(schema.read_text(encoding="utf-8")))
    validate_config(with_rays_defaults(name))


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_dashboard_answers_on_the_head_only_and_a_token_is_demanded(name):
    config = with_rays_defaults(name)
    (start,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "RAY_AUTH_MODE=token" in " ".join(config["setup_commands"])
    assert [local for remote, local in config["file_mounts"].items() if remote.endswith("/.ray/auth_token")]


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_start_names_options_that_ray_start_has(name):
    config = loaded(f"{name}.yaml")
    commands = " ".join((*config["head_start_ray_commands"], *config["worker_start_ray_commands"]))
    assert set(re.findall(r"--[a-z-]+", commands)) <= options_of("start")


def test_a_ray_job_demands_a_token_ends_its_cluster_and_tries_again():
    spec = loaded("kuberay-rayjob.yaml")["spec"]
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert (spec["shutdownAfterJobFinishes"], spec["backoffLimit"] > 0) == (True, True)


def test_a_ray_jobs_results_are_on_the_volume_and_its_options_are_the_sweeps():
    spec = loaded("kuberay-rayjob.yaml")["spec"]
    pod = spec["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (mount,) = pod["containers"][0]["volumeMounts"]
    assert mount["name"] == pod["volumes"][0]["name"]
    assert f"--out {mount['mountPath']}/results" in spec["entrypoint"]
    assert set(re.findall(r"--[a-z-]+", spec["entrypoint"])) <= sweep_options()


def test_the_batch_script_is_bash():
    subprocess.run(["bash", "-n", FOLDER / "slurm.sbatch"], check=True)


def test_the_batch_script_names_options_that_ray_and_animefer_have():
    ray_part, sweep_part = re.search(r"ray symmetric-run(.*) -- (.*) &\n", SBATCH, re.DOTALL).groups()
    assert set(re.findall(r"--[a-z-]+", ray_part)) <= options_of("symmetric-run") | options_of("start")
    assert set(re.findall(r"--[a-z-]+", sweep_part)) <= sweep_options()


def options_of(command):
    done = subprocess.run(
        [Path(sys.executable).with_name("ray"), command, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z-]+", done.stdout))


def sweep_options():
    return {flag for parameter in get_command(app).commands["sweep"].params for flag in parameter.opts}


PLAYED = {
    # One node, this one.
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    "hostname": "echo 10.0.0.7 10.1.0.7",
    # Notes what it was told, then runs the command after the first --, as ray symmetric-run does on the head.
    "ray": """printf '%s\\n' "$@" > "$NOTES/ray"
        printf '%s\\n' "$RAY_AUTH_MODE" "${RAY_AUTH_TOKEN-}" "$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" > "$NOTES/token"
        wc -c < "$RAY_AUTH_TOKEN_PATH" >> "$NOTES/token"
        while [[ $1 != -- ]]; do shift; done; shift; "$@" """,
    # Opening the pipe waits for the test to open it.
    "animefer": """trap 'echo saved > "$NOTES/saved"; kill $!; exit 1' USR1
        printf '%s\\n' "$@" > "$NOTES/animefer"
        [[ -p $NOTES/ready ]] || exit "${ENDS_WITH:-0}"
        echo ready > "$NOTES/ready"; sleep 30 & wait $!""",
}


@pytest.fixture
def job(tmp_path):
    """Start the batch script where SLURM, Ray and animefer are played; return its process."""
    for folder in ("bin", "home", "notes"):
        (tmp_path / folder).mkdir()
    for name, body in PLAYED.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bin" / "activate").write_text(f'PATH="{tmp_path}/bin:$PATH"\n')
    script = tmp_path / "job"
    script.write_text(SBATCH.replace("VENV", str(tmp_path)).replace("RESULTS", str(tmp_path / "results")))
    number = str(os.getpid())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))},
        **{"SLURM_JOB_ID": number, "SLURM_JOB_NUM_NODES": "1", "SLURM_CPUS_PER_TASK": "8", "SLURM_GPUS_ON_NODE": "4"},
        **{"HOME": str(tmp_path / "home"), "NOTES": str(tmp_path / "notes")},
        # Of another cluster.
        **{"RAY_AUTH_TOKEN": "other", "RAY_ADDRESS": "elsewhere:6379"},
    }

    def start(**more):
        return subprocess.Popen(["bash", script], env={**environment, **more})

    return start


def notes(folder, name):
    return (folder / "notes" / name).read_text().splitlines()


def test_the_jobs_nodes_share_a_token_that_nobody_else_reads_and_that_goes_with_it(job, tmp_path):
    assert job().wait(timeout=60) == 0
    mode, inherited, permissions, length = notes(tmp_path, "token")
    assert (mode, inherited, permissions, int(length)) == ("token", "", "600", 65)
    assert list((tmp_path / "home").iterdir()) == []


def test_ray_is_told_the_jobs_cores_and_cards_and_the_sweep_its_address(job, tmp_path):
    job().wait(timeout=60)
    told = notes(tmp_path, "ray")
    assert {"--num-cpus=8", "--num-gpus=4", f"--temp-dir=/tmp/animefer-{os.getpid()}"} <= set(told)
    address = told[told.index("--address") + 1]
    assert address == f"10.0.0.7:{20000 + os.getpid() % 10000}"
    command = notes(tmp_path, "animefer")
    assert command[command.index("--address") + 1] == address


def test_the_job_ends_as_its_sweep_does(job):
    assert job(ENDS_WITH="2").wait(timeout=60) == 2


@pytest.mark.parametrize("warning", [signal.SIGUSR1, signal.SIGTERM])
def test_the_warning_of_the_time_limit_reaches_the_sweep_which_then_saves(job, tmp_path, warning):
    os.mkfifo(tmp_path / "notes" / "ready")
    running = job()
    assert notes(tmp_path, "ready") == ["ready"]
    running.send_signal(warning)
    assert running.wait(timeout=60) == 1
    assert notes(tmp_path, "saved") == ["saved"]
