"""What the experiments of all chapters have in common: a model's settings, which can be run."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Plan(ABC):
    """The settings of one model: how it is built, trained and tested.

    Each experiment has a subclass, whose fields are stored with the results. Their defaults are
    the experiment's standard settings, which individual models override. What is not among them
    has the default of the function that trains.

    Attributes:
        steps: Number of training steps.
    """

    steps: int

    @abstractmethod
    def run(self, seed: int) -> dict[str, Any]:
        """Train and test the model.

        Args:
            seed: Seed of the initial parameters, of the training data and of dropout.

        Returns:
            ``scores``, a list of numbers, and whatever else is to be stored about the run.
        """
