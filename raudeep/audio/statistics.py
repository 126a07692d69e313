"""The simplest embedding of a spectrogram: what its bands are on average and how they vary."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["band_statistics"]


def band_statistics(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return mean and standard deviation over time of each band, shape (2 F,), of a (T, F) one.

    A representation is worth having only if it says more than this.

    Examples
    --------
    >>> import numpy as np
    >>> band_statistics(np.array([[0, 1], [2, 1]], dtype=np.float32))
    array([1., 1., 1., 0.], dtype=float32)
    """
    return np.concatenate([spectrogram.mean(axis=0), spectrogram.std(axis=0)])
