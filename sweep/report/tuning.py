"""What each configuration was given before the sweep: so many candidates on validation, or none."""

from sweep.frames import Configuration, Sweep
from sweep.report.words import count, listed
from sweep.search.tuned import Searched


def tuning(sweep: Sweep) -> dict[str, str]:
    """Return a sentence a configuration; {} for predictions made elsewhere, of which nothing is known."""
    if sweep.imported:
        return {}
    return {each.name: _given(each, sweep.searched.get(each.strategy)) for each in sweep.configurations}


def _given(configuration: Configuration, facts: Searched | None) -> str:
    if facts is None:
        return "No search: the strategy as it stands."
    seeds = f"{'seed' if len(facts.seeds) == 1 else 'seeds'} {listed([str(seed) for seed in facts.seeds])}"
    again = [str(seed) for seed in facts.seeds if seed in configuration.planned_seeds]
    before = facts.start_validation_loss
    return (
        f"The best by validation loss of {count(facts.candidates, 'candidate')} of up to "
        f"{count(facts.epochs, 'epoch')} each, {facts.strategy} as it stands the first, trained with {seeds} "
        f"({f'{listed(again)} here as well' if again else 'none of them here'}) and without the test images. "
        f"Validation loss {'none, it failed' if before is None else f'{before:.4f}'} → {facts.validation_loss:.4f}."
    )


def unequal(sweep: Sweep) -> list[str]:
    """Return what each model was given where the models of a sweep were not searched for alike, strategy by strategy.

    Alike are equal numbers of candidates, epochs and seeds; a model without a search beside one that had one is not.
    """
    items = []
    there = {(each.model, each.strategy) for each in sweep.configurations}
    models = list(dict.fromkeys(each.model for each in sweep.configurations))
    used = [facts for name, facts in sweep.searched.items() if (facts.model, name) in there]
    for strategy in dict.fromkeys(facts.strategy for facts in used):
        budget = {f.model: (f.candidates, f.epochs, len(f.seeds)) for f in used if f.strategy == strategy}
        if len({budget.get(model) for model in models}) > 1:
            items += [f"{strategy}, {model}: {_budget(budget.get(model))}" for model in models]
    return items


def _budget(given: tuple[int, int, int] | None) -> str:
    if given is None:
        return "no search"
    candidates, epochs, seeds = given
    return f"{count(candidates, 'candidate')} of up to {count(epochs, 'epoch')} with {count(seeds, 'seed')}"
