"""Write torchaudio_mel.npz: torchaudio's HTK mel banks, which the exact bank is held to.

    python tests/reference/make_torchaudio_mel.py

The numbers are stored because torchaudio imports only beside a torch of its own CUDA version.
"""

from pathlib import Path

import numpy as np
import torch
import torchaudio

CASES = [(16000, 400, 40), (22050, 1764, 128), (44100, 3528, 128)]

torch.set_default_dtype(torch.float64)  # in float32 torchaudio is off by 4e-5
banks = {
    f"{rate}-{n_fft}-{n_mels}": torchaudio.functional.melscale_fbanks(
        1 + n_fft // 2, 0.0, rate / 2, n_mels, rate, norm=None, mel_scale="htk"
    )
    .numpy()
    .T.astype(np.float32)
    for rate, n_fft, n_mels in CASES
}
np.savez_compressed(Path(__file__).with_name("torchaudio_mel.npz"), **banks)
