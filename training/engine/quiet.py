"""Keeps what libraries print out of our own output."""

from __future__ import annotations

import threading


def silence() -> None:
    """No warnings, logs or progress bars of the libraries in this process."""
    import datasets
    from tqdm import tqdm

    # tqdm's own lock is a semaphore of the system, which a worker that is stopped would leave behind.
    tqdm.set_lock(threading.RLock())
    silence_models()
    datasets.disable_progress_bars()


def silence_models() -> None:
    """No warnings, logs or progress bars of the model library."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
