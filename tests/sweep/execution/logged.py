"""What the loggers have written, read back from their own files: run -> what it holds."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768


@dataclass
class Read:
    """One run."""

    filters: dict[str, Any] = field(default_factory=dict)
    values: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """Name -> (step, value) in the order of writing."""
    status: Any = None
    """The status of the trial."""
    ended: Any = None
    """How the logger itself says that the run ended."""


def tensorboard_runs(folder: Path) -> dict[str, Read]:
    """Return the runs below a folder, by their paths from it."""
    runs: dict[str, Read] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        run = runs.setdefault(str(path.parent.relative_to(folder)), Read())
        for event in tensorboard_events(path.read_bytes()):
            for value in event.summary.value:
                if value.tag == "_hparams_/session_start_info":
                    start = HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
                    run.filters = {name: getattr(it, it.WhichOneof("kind")) for name, it in start.hparams.items()}
                    run.status = run.filters.pop("status")
                elif not value.tag.startswith("_hparams_"):
                    run.values.setdefault(value.tag, []).append((event.step, value.simple_value))
    return runs


def tensorboard_events(content: bytes) -> Iterator[Event]:
    """Yield the events of a file: each between a header of 12 bytes that begins with its length, and a sum of 4."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def mlflow_runs(folder: Path, experiment: str) -> dict[str, Read]:
    """Return the runs of an experiment in the store of a results folder."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = {}
    for run in client.search_runs([found.experiment_id]):
        history = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
        assert run.info.run_name not in runs
        runs[run.info.run_name] = Read(
            filters=run.data.params,
            values={name: [(entry.step, entry.value) for entry in entries] for name, entries in history.items()},
            status=run.data.tags["status"],
            ended=run.info.status,
        )
    return runs


def wandb_runs(folder: Path) -> dict[str, Read]:
    """Return the offline runs of a results folder."""
    runs: dict[str, Read] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        run, name = Read(), ""
        for content in wandb_records(path.read_bytes()):
            record = Record.FromString(content)
            name = record.run.display_name or name
            run.filters |= wandb_items(record.run.config.update)
            run.status = wandb_items(record.summary.update).get("status", run.status)
            if record.WhichOneof("record_type") == "exit":
                run.ended = record.exit.exit_code
            row = wandb_items(record.history.item)
            for measure, value in row.items():
                run.values.setdefault(measure, []).append((row["_step"], value))
        assert name not in runs
        runs[name] = run
    return runs


def wandb_items(items: Any) -> dict[str, Any]:
    """Return the values of a record by name."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def wandb_records(content: bytes) -> Iterator[bytes]:
    """Yield the entries of a log in LevelDB's format: whole or in parts, none across two blocks, after 7 bytes."""
    position, entry = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
        length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
        entry += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            yield entry
            entry = b""
