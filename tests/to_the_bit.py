"""What of a trial's record has to be equal whenever and wherever it ran on a CPU: all but timings and environment."""

from animefer_core.record import TrialRecord

TIMINGS = {"seconds", "images_per_second"}


def numbers(record: TrialRecord) -> dict[str, object]:
    """Return all numbers of a completed record, arrays as their bytes, and the kept tensors where it has any."""
    arrays = {**record.predictions.arrays(), **(record.state or {})}
    return {
        "history": [{name: value for name, value in each.items() if name not in TIMINGS} for each in record.history],
        "epochs": (record.epochs_run, record.best_epoch, record.percent_trainable),
        "trainable": record.efficiency["trainable_parameters"],
        "metrics": (record.validation, record.test),
        "arrays": {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()},
    }
