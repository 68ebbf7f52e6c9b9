"""What a cluster's machines must have in common with the driver's."""

import pytest

from animefer_core.errors import InputError
from sweep.execution.cluster import check_versions


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
