"""What an output is made from, as it is kept and as it is read again."""

import json
from dataclasses import asdict

from raudeep.config import EvaluationConfig
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.opening import open_table
from tests.tables import rows


def test_identity_with_tuples_is_that_of_the_table_it_made(place):
    config = EvaluationConfig(train_partitions=("train", "devel"), eval_partitions=("test",))
    for evaluation in (config, EvaluationConfig()):
        identity = Identity("scores", {"evaluation": asdict(evaluation)})
        assert identity.config == json.loads(json.dumps(identity.config))
        writer = open_table(place, identity, overwrite=True)
        writer.write(0, rows(0, 2))
        assert open_table(place, identity).missing(1) == []
        assert writer.commit(1).identity == identity
        assert read_index(place).identity == identity
        assert open_table(place, identity).missing(1) == []
