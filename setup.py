"""The wheel has the stages as ``triptych.stages``, so that a project of a user's own can run them: `triptych new`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["triptych*"]), "triptych.stages"], package_dir={"triptych.stages": "stages"})
