"""What Ray Train has on record of a run: a file that names its checkpoints."""

import logging

from raudeep.pipeline.runtime.cluster import silence
from raudeep.storage import uri as uris

__all__ = ["forget_unusable_record"]

logger = logging.getLogger(__name__)

_RECORD = "checkpoint_manager_snapshot.json"  # as Ray Train calls it


def forget_unusable_record(name: str, run: str) -> None:
    """Delete the record of a run in the folder `run` if Ray Train could not start from it.

    Ray writes it in its place: a full disc, a kill or a power cut leaves half of it, and Ray never
    starts such a run again. Without one it does.
    """
    from ray.train import Result

    record = uris.join(run, _RECORD)
    if not uris.exists(record):
        return
    silence()
    place = uris.arrow_filesystem(run)
    try:
        Result.from_path(place.path, storage_filesystem=place.system)
    except OSError:  # the store does not answer, which the run will say
        return
    except Exception:
        logger.warning(
            "%s: %s is damaged, and left out. The training goes on from the newest checkpoint that "
            "is whole.",
            name,
            record,
        )
        uris.delete_file(record)
