"""Verbs: one thin module per DVC stage, run as ``python -m stages.<name>``."""

import logging
import os
import warnings

# Set before a stage imports any library: some libraries write notes to their own developers on import.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
