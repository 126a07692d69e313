"""Commands that are killed at each of their crash points, and run again; `make bench` has more."""

import pytest

from raudeep.storage import uri as uris
from tests.benchmarks.crash_points import EXPORT, SCENARIOS, write_table
from tests.crashes import count_crash_points, kill_at, kill_everywhere, run
from tests.support import refused

# Tables are small here, and no other thread is at work.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.mark.parametrize(
    "name", ["modify", "verify --repair, all parts", "verify --repair, a part"]
)
def test_a_command_that_is_killed_at_any_point_goes_on_to_the_same_output(tmp_path, name):
    outcome = kill_everywhere(SCENARIOS[name], tmp_path)
    assert outcome.points >= 5
    assert outcome.wrong == []


def test_half_an_export_is_not_taken_for_one(tmp_path, cli):
    write_table(tmp_path)
    words = EXPORT.format("csv")

    def export():
        run(tmp_path, words)

    whole, half = 0, 0
    count = count_crash_points(lambda: run(tmp_path, words.replace("@/out", "@/first")))
    for point in range(count - 1, 0, -3):  # the first ones are long before a file is there
        uris.delete(str(tmp_path / "out"))
        kill_at(export, point)
        found = cli("import", "csv", tmp_path / "out", "--output", tmp_path / f"table-{point}")
        files = len(list((tmp_path / "out").glob("t*/fold_*/data.csv")))
        if found[0] == 0:
            assert files == 4
            whole += 1
        elif files:
            refused(found, "holds half an export", "Run the same export again")
            half += 1
    assert whole > 1
    assert half > 4
