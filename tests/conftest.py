"""Shapes and types are checked at run time in every test."""

import os

import jaxtyping
import pytest
import torch
from hypothesis import settings

os.environ["GATUTILS_PROGRESS"] = "0"
jaxtyping.install_import_hook("gatutils", "typecheck.check")
torch.set_num_threads(1)
# The same examples on every run, and no timed tests: machines differ.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")


@pytest.fixture
def unchecked():
    """Let bad input reach the package's own errors, as it does for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
