"""One frozen dataclass per stage: the Python fields, the TOML keys and the flags are these.

The line under a field is its help on the command line. Checks live in ``__post_init__``; what holds
between stages is checked by the recipe (`raudeep.recipe`).
"""

from raudeep.config.autoencoder import AutoencoderConfig, Readout, ResourceConfig, TrainingConfig
from raudeep.config.evaluation import EvaluationConfig, MlpConfig
from raudeep.config.fields import build, fingerprint, reject_unknown
from raudeep.config.spectrogram import SpectrogramConfig

__all__ = [
    "AutoencoderConfig",
    "EvaluationConfig",
    "MlpConfig",
    "Readout",
    "ResourceConfig",
    "SpectrogramConfig",
    "TrainingConfig",
    "build",
    "fingerprint",
    "reject_unknown",
]
