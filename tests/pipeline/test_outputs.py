"""Files that are not raudeep's in the place of an output: every command refuses and keeps them."""

import pytest

from tests.outputs import COMMANDS, FILES, FOLDERS, hashes, make_things, put
from tests.support import assert_one_line

pytestmark = pytest.mark.usefixtures("decoding_here")

JOB = "runtime_resources/working_dir_files/_ray_pkg_0123456789abcdef"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_things(tmp_path_factory.mktemp("made"))


def refusals(cli, arguments, place, *more):
    """Run a command on a place that is to stay as it is; return its line, which says the place."""
    before = hashes(place.parent)
    code, out, err = cli(*arguments, place, *more)
    assert (code, out) == (1, "")
    assert_one_line(err, str(place), "hoose another output")
    assert hashes(place.parent) == before
    return err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_of_other_things_is_refused_before_any_work(cli, made, tmp_path, name):
    arguments = [*COMMANDS[name](made), "--output"]
    before = hashes(made["corpus"].parent)
    for kind in (*FOLDERS, "file"):
        place = tmp_path / kind / "out"
        place.parent.mkdir()
        put(kind, place, made)
        own = (name.split()[0], kind) in {("train", "model"), ("benchmark", "benchmark")}
        if kind in ("foreign files", "corpus"):
            refusals(cli, arguments, place)
        if not own:
            err = refusals(cli, arguments, place, "--overwrite")
            said = "is a table of manifest" if kind == "table" else "holds files but no"
            assert (said in err) or kind in ("table", "file")
    assert hashes(made["corpus"].parent) == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_replaced_on_purpose_only(cli, made, tmp_path, name):
    make, suffix = FILES[name]
    arguments = make(made)
    folder = tmp_path / f"folder{suffix}"
    put("foreign files", folder, made)
    refusals(cli, arguments, folder, "--overwrite")
    place = tmp_path / f"out{suffix}"
    put("file", place, made)
    before = hashes(tmp_path)
    refusals(cli, arguments, place)
    code, _, err = cli(*arguments, place, "--overwrite")
    assert code == 0, err
    changed = {path for path, content in hashes(tmp_path).items() if before.get(path) != content}
    assert changed == {place.name}


@pytest.mark.parametrize("name", [*COMMANDS, *FILES])
def test_a_job_does_not_write_into_its_copy_of_the_working_directory(
    cli, made, tmp_path, monkeypatch, name
):
    copy = tmp_path / JOB
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    if name in COMMANDS:
        arguments, output = [*COMMANDS[name](made), "--output"], "out"
    else:
        arguments, output = FILES[name][0](made), f"out{FILES[name][1]}"
    for place in (output, copy / output):
        code, out, err = cli(*arguments, place)
        assert (code, out) == (1, "")
        assert_one_line(err, f"{copy / output} is in the job's copy of the working directory")
    assert list(copy.iterdir()) == []
