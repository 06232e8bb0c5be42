"""What the experiments of all chapters have in common: a model's settings, which can be run."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Plan(ABC):
    """The settings of one model: how it is built, trained and tested.

    Each experiment has a subclass. Its fields are the whole protocol, and the results are stored
    with them; the defaults are the experiment's budget, from which its models depart.

    Attributes:
        steps: Number of training steps.
    """

    steps: int

    @abstractmethod
    def run(self, seed: int) -> dict[str, Any]:
        """Train and test the model.

        Args:
            seed: Seed of the initial parameters, of the training data and of the training.

        Returns:
            ``scores``, a list of numbers, and whatever else is to be stored about the run.
        """
