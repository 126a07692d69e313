"""One frozen dataclass for each stage; its fields are also the TOML keys and the flags.

The line under a field is its help on the command line. ``__post_init__`` checks one class; the
recipe (`raudeep.recipe`) checks what must hold between stages.
"""

from raudeep.config.autoencoder import (
    ArchitectureConfig,
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
    Readout,
    architecture_of,
    autoencoder_kinds,
    check_readouts,
)
from raudeep.config.baselines import (
    BASELINES,
    Baseline,
    CnnConfig,
    SoundNetConfig,
    SparseCodingConfig,
)
from raudeep.config.chunks import ChunkConfig
from raudeep.config.evaluation import (
    CLASSIFIERS,
    ClassifierConfig,
    EvaluationConfig,
    FitConfig,
    MlpConfig,
    SvmConfig,
)
from raudeep.config.exchange import ExchangeFormat, ExportConfig, ImportConfig
from raudeep.config.fields import build, fingerprint, reject_text, reject_unknown
from raudeep.config.history import settled
from raudeep.config.limits import Limits
from raudeep.config.spectrogram import Channels, SpectrogramConfig
from raudeep.config.training import ResourceConfig, Tracker, TrainingConfig
from raudeep.config.tuning import TuneConfig

__all__ = [
    "BASELINES",
    "CLASSIFIERS",
    "ArchitectureConfig",
    "AutoencoderConfig",
    "Baseline",
    "Channels",
    "ChunkConfig",
    "ClassifierConfig",
    "CnnConfig",
    "EvaluationConfig",
    "ExchangeFormat",
    "ExportConfig",
    "FitConfig",
    "FrequencyAutoencoderConfig",
    "FrequencyTimeAutoencoderConfig",
    "ImportConfig",
    "Limits",
    "MlpConfig",
    "Readout",
    "ResourceConfig",
    "SoundNetConfig",
    "SparseCodingConfig",
    "SpectrogramConfig",
    "SvmConfig",
    "Tracker",
    "TrainingConfig",
    "TuneConfig",
    "architecture_of",
    "autoencoder_kinds",
    "build",
    "check_readouts",
    "fingerprint",
    "reject_text",
    "reject_unknown",
    "settled",
]
