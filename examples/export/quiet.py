"""Silence while PyTorch exports."""

import contextlib
import io
import logging
import warnings


@contextlib.contextmanager
def quiet():
    """Exporters are talkative about what does not matter here."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
