from sweep.plan import grid, plan
from sweep.settings import resolve


def trials(**options):
    settings = resolve({"models": "resnet18,vit_b_16", "strategies": "full,partial", "seeds": "1,2", **options})
    return grid(settings, split_digest="s", weights=dict.fromkeys(settings.models, "random"), threads=1)


def test_the_grid_goes_seed_by_seed():
    assert [config.seed for config in trials()] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len({config.trial_id for config in trials()}) == 8


def test_completed_trials_are_not_planned_and_failed_ones_are():
    first, second, *rest = trials()
    planned = plan(trials(), {first.trial_id: "completed", second.trial_id: "failed"})
    assert planned.to_run == (second, *rest)
    assert planned.present == 1


def test_a_new_seed_leaves_the_other_trials_as_they_are():
    assert {config.trial_id for config in trials()} < {config.trial_id for config in trials(seeds="1,2,3")}
