"""How good predictions were, once somebody has said what would have been right."""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deepaas_core.domain.prediction_log import LogEntry, category

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: More classes than these are no classes.
MAX_CLASSES = 50


@dataclass(frozen=True)
class Classified:
    """How often the predicted class was the right one.

    Attributes:
        count: Predictions compared.
        accuracy: The part of them that was right.
        auc: Area under the ROC curve, each class against all others, averaged; None without probabilities of at
            least two classes.
        classes: In the order of rows and columns of ``confusion``.
        confusion: Counts, a row for each right class, in it a column for each predicted one.
    """

    count: int
    accuracy: float
    auc: float | None
    classes: Sequence[str]
    confusion: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Estimated:
    """How far predicted numbers were off.

    Attributes:
        count: Predictions compared.
        mae, rmse: Mean absolute error; root of the mean squared error.
        bias: Mean of predicted less right.
        r2: Coefficient of determination; None where all right numbers are one.
    """

    count: int
    mae: float
    rmse: float
    bias: float
    r2: float | None


class Quality:
    """Compares predictions with their labels, one after the other; keeps some numbers of each, no texts."""

    def __init__(self) -> None:
        self.count = 0
        self._confusion: Counter[tuple[str, str]] = Counter()
        self._classes: dict[str, int] = {}
        self._truths = array("l")
        self._scores: dict[str, array[float]] = {}
        self._numbers = 0
        self._sums = [0.0] * 5

    def add(self, entry: LogEntry) -> None:
        """Take one more labelled entry."""
        if entry.label is None:
            return
        self.count += 1
        label, predicted = json.loads(entry.label), entry.predicted
        truth = category(label)
        if predicted.category is not None and truth is not None:
            self._confusion[truth, predicted.category] += 1
            if predicted.scores:
                self._add_scores(truth, predicted.scores)
        if predicted.number is not None and isinstance(label, int | float) and not isinstance(label, bool):
            self._add_number(predicted.number, float(label))

    def _add_scores(self, truth: str, scores: Any) -> None:
        if len(self._classes) > MAX_CLASSES:
            return
        place = len(self._truths)
        self._truths.append(self._classes.setdefault(truth, len(self._classes)))
        for name, score in scores.items():
            column = self._scores.setdefault(name, array("d"))
            column.extend([math.nan] * (place - len(column)))
            column.append(score)

    def _add_number(self, predicted: float, right: float) -> None:
        off, sums = predicted - right, self._sums
        self._numbers += 1
        for place, term in enumerate((abs(off), off * off, off, right, right * right)):
            sums[place] += term

    def classified(self) -> Classified | None:
        """How good the classes were; None if there were none to compare."""
        names = {name for pair in self._confusion for name in pair}
        if not names or len(names) > MAX_CLASSES:
            return None
        classes, count = sorted(names, key=_in_order), self._confusion.total()
        right = sum(self._confusion[name, name] for name in classes)
        rows = [[self._confusion[truth, told] for told in classes] for truth in classes]
        return Classified(count, right / count, self._auc(), classes, rows)

    def _auc(self) -> float | None:
        import numpy as np  # 100 ms that no start should wait for

        truths = np.array(self._truths)
        areas = []
        for name, column in self._scores.items():
            if name not in self._classes:
                continue
            scores = np.full(len(truths), np.nan)
            scores[: len(column)] = column
            known = ~np.isnan(scores)
            area = auc(truths[known] == self._classes[name], scores[known])
            if area is not None:
                areas.append(area)
        return sum(areas) / len(areas) if areas else None

    def estimated(self) -> Estimated | None:
        """How far numbers were off; None if there were none to compare."""
        count = self._numbers
        if not count:
            return None
        absolute, squared, off, right, right_squared = self._sums
        spread = right_squared - right * right / count
        r2 = 1 - squared / spread if spread > 1e-12 * max(1.0, right_squared) else None
        return Estimated(count, absolute / count, math.sqrt(squared / count), off / count, r2)


def auc(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """Area under the ROC curve: how likely a positive case has a higher score than a negative one.

    Args:
        positive: (cases,), whether a case is positive.
        scores: (cases,), equal ones count half.

    Returns:
        None without a positive or without a negative case.
    """
    import numpy as np  # as above

    positives, cases = int(positive.sum()), len(positive)
    if positives in (0, cases):
        return None
    _, place, number = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(number) - (number - 1) / 2)[place]  # equal scores share the mean of their ranks, from 1 on
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (cases - positives)))


def _in_order(name: str) -> tuple[bool, float, str]:
    """Numbers by their size, then everything else by the alphabet."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
