import pytest

from animefer_core.errors import InputError
from sweep.cli.look import written
from sweep.frames import read_sweep
from sweep.report.page import write
from sweep.report.price import priced
from sweep.report.tables import all_tables
from tests.sweep.records import Plan, plant


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("sweep"), Plan(missing=[("vit_s_16", "full", 2)]))


def test_a_price_is_hours_times_the_price_of_one(folder):
    sweep = read_sweep(folder)
    table = priced(sweep, all_tables(sweep), 36.0)["efficiency"]
    seconds = table["trial_seconds_mean"]
    assert table["price_per_trial"].tolist() == pytest.approx((seconds / 100).tolist())
    assert table["price"].tolist() == pytest.approx((seconds * table["n_seeds"] / 100).tolist())


def test_a_configuration_without_a_completed_trial_has_no_price(tmp_path):
    missing = [("vit_s_16", "full", seed) for seed in Plan.seeds]
    sweep = read_sweep(plant(tmp_path, Plan(missing=missing)))
    table = priced(sweep, all_tables(sweep), 1.0)["efficiency"].set_index(["model", "strategy"])
    assert table.loc[("vit_s_16", "full"), ["price_per_trial", "price"]].isna().all()


def test_the_page_and_every_table_show_it_where_it_is_asked_for(folder):
    for path in write(folder, ["html", "csv", "md", "tex"], price_per_hour=3.6):
        if path.name.startswith(("report", "efficiency")):
            assert "price" in path.read_text(encoding="utf-8").lower(), path.name
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<td>0.02</td><td>0.06</td>" in page
    assert "times the price of an hour that was given" in page


def test_nothing_is_said_of_a_price_otherwise(folder):
    for path in write(folder, ["html", "csv", "md", "tex"]):
        if path.name.startswith("efficiency"):
            assert "price" not in path.read_text(encoding="utf-8")
    assert "Price" not in (folder / "report.html").read_text(encoding="utf-8").split("<footer>")[0]


@pytest.mark.parametrize("price", ["0", "-1", "nan", "inf", "1 EUR", ""])
def test_a_price_is_a_number_above_zero(folder, price):
    with pytest.raises(InputError, match="--price-per-hour"):
        written(folder, "csv", unnamed=False, price_per_hour=price)
