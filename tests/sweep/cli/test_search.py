"""`animefer search`, with what trains replaced by an executor that notes what it was handed."""

import pytest

from animefer_core.data.faces import write_faces
from sweep.cli.search import run_search
from sweep.execution.environment import configure_ray
from sweep.search.winners import FILE
from sweep.settings import resolve
from tests.sweep.search.candidates import finished


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    write_faces(folder, per_class=8, seed=0)
    return folder


@pytest.fixture
def handed(monkeypatch):
    """Return the list of what the executor is handed; it finishes each trial, or stops at the `stop`-th."""

    class Handed(list):
        stop = None

    works = Handed()

    def pretend(work, keep, display, repeat, run, scheduler):
        works.append(work)
        for number, config in enumerate(work.trials):
            if number == works.stop:
                raise KeyboardInterrupt
            keep(finished(config, config.strategy.lr_head), lambda: None)

    # Ray reads its environment when it is imported.
    configure_ray("local")
    monkeypatch.setattr("sweep.execution.executor.execute", pretend)
    return works


@pytest.fixture
def search(faces, tmp_path):
    """Return a call of the command with few small models, and the options of a call."""

    def of(budget="3", search_seeds="1001", **options):
        usual = {"data": str(faces), "out": str(tmp_path / "out"), "models": "resnet18,vit_tiny_patch16_224"}
        usual |= {"strategies": "linear_probe", "pretrained": False, "image_size": 16, "epochs": 2, "threads": 1}
        return run_search(usual | options, budget=budget, search_seeds=search_seeds)

    return of


def test_workers_are_handed_no_test_image(search, handed):
    assert search() == 0
    (work,) = handed
    (rows,) = work.data.splits.values()
    assert set(rows) == {"train", "validation"}
    assert len(work.data.pixels) == len(work.data.labels) == sum(len(index) for index in rows.values())


def test_every_model_trains_the_same_candidates_with_the_search_seeds_alone(search, handed):
    search(budget="4", search_seeds="1001,1002")
    given = {}
    for config in handed[0].trials:
        given.setdefault(config.model, []).append((config.strategy, config.seed, config.epochs_cap))
    ours, theirs = given.values()
    assert ours == theirs
    assert len(ours) == 8
    assert {seed for _, seed, _ in ours} == {1001, 1002}


def test_the_same_command_again_trains_nothing(search, handed, tmp_path):
    assert search() == 0
    before = (tmp_path / "out" / FILE).read_text().split("at = ")[0]
    assert search() == 0
    assert len(handed) == 1
    assert (tmp_path / "out" / FILE).read_text().split("at = ")[0] == before


def test_a_larger_budget_trains_what_it_adds(search, handed):
    search(budget="3")
    search(budget="5")
    assert [len(work.trials) for work in handed] == [6, 4]


def test_a_search_that_was_stopped_goes_on_and_names_no_winner_before(search, handed, tmp_path, capsys):
    handed.stop = 4
    assert search() == 1
    # The first model's search is over, the second's is not.
    assert set(resolve({"config": tmp_path / "out" / FILE}).searched) == {"linear_probe_tuned_resnet18"}
    assert "the same command goes on from there" in capsys.readouterr().err
    handed.stop = None
    assert search() == 0
    assert [len(work.trials) for work in handed] == [6, 2]
    assert len(resolve({"config": tmp_path / "out" / FILE}).searched) == 2


def test_the_end_is_a_table_and_the_command_to_go_on_with(search, handed, tmp_path, capsys):
    search()
    told = capsys.readouterr().err
    assert "resnet18/linear_probe: 3 candidates with 1 seed each" in told
    assert f"animefer sweep --config {tmp_path / 'out' / FILE}" in told


def test_the_results_folder_has_its_own_name(faces, handed, tmp_path, monkeypatch, search):
    monkeypatch.chdir(tmp_path)
    search(out=None)
    assert (tmp_path / "reports" / "faces-search" / FILE).exists()
