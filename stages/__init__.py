"""Verbs: one thin module per DVC stage, run as ``python -m stages.<name>``."""

from triptych.progress import quiet_libraries

quiet_libraries()
