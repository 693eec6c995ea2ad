"""Verbs: one thin module per DVC stage, run as ``python -m stages.<name>``."""

from triptych.progress import quiet_libraries
from triptych.threads import wait_briefly

quiet_libraries()
wait_briefly()  # before a stage imports PyTorch
