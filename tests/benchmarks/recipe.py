"""The esc-10 recipe from audio to scores, beside what auDeep took on the same recordings."""

import json
import os
import shutil
import sys
from pathlib import Path

from tests.benchmarks.corpus import BUILD
from tests.benchmarks.process import finish, start

CLIPS, EPOCHS, VIEWS = 400, 64, 4
AUDEEP_MINUTES, AUDEEP_CLIPS_PER_SECOND = 48, 48  # one run on a Zen 4, docs/experiments.md


def bench_recipe() -> dict[str, str]:
    data = Path(os.environ.get("RAUDEEP_TEST_DATA", "")) / "esc-10"
    if not data.is_dir():
        sys.exit("recipe needs ESC-10: set RAUDEEP_TEST_DATA to the folder that holds esc-10.")
    folder = BUILD / "recipe"
    shutil.rmtree(folder, ignore_errors=True)
    seed = os.environ.get("RAUDEEP_RECIPE_SEED", "0")
    finish(start("benchmark", "esc-10", "--corpus", data, "--output", folder, "--seed", seed))
    results = json.loads((folder / "results.json").read_text())
    stages = {stage["stage"]: stage["seconds"] for stage in results["stages"]}
    rate = CLIPS * EPOCHS * VIEWS / stages["training"]
    minutes = results["seconds"] / 60
    facts = {name: f"{seconds:.1f} s" for name, seconds in stages.items()}
    facts["in all"] = f"{minutes:.1f} min; auDeep {AUDEEP_MINUTES}"
    facts["clips per second in training"] = f"{rate:.0f}; auDeep {AUDEEP_CLIPS_PER_SECOND}"
    for score in results["scores"]:
        facts[f"{score['embedding']}, {score['readout']}"] = f"{score['accuracy']:.1%}"
    return facts
