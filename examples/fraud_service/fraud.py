"""How likely a card payment is fraud: a logistic regression, trained and asked with numpy alone."""

import csv
import json
import os
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FEATURES = ["amount", "abroad", "card_fico_score", "card_age"]


def train(steps: int = 400, l2: float = 0.001) -> dict:
    """Fit the model to the transactions, and measure it on the last fifth of them, which it has not seen.

    Args:
        steps: Steps of gradient descent.
        l2: How strongly large weights are held back.
    """
    from deepaas_core import run

    rows, fraud = _table()
    mean, spread = rows.mean(0), rows.std(0)
    known = len(rows) * 4 // 5
    inputs = np.column_stack([np.ones(len(rows)), (rows - mean) / spread])
    weights = np.zeros(inputs.shape[1])
    for step in range(steps):
        likely = _sigmoid(inputs[:known] @ weights)
        weights -= 0.5 * (inputs[:known].T @ (likely - fraud[:known]) / known + l2 * weights)
        if step % 50 == 0:
            run.progress(step, steps)
    auc = _auc(_sigmoid(inputs[known:] @ weights), fraud[known:])
    run.report(auc=auc)
    model = {"mean": mean.tolist(), "spread": spread.tolist(), "weights": weights.tolist()}
    (run.model_dir() / "model.json").write_text(json.dumps(model))
    return {"auc": auc}


def predict(rows: list):
    """Probabilities of ``no`` and ``yes``, one line for each row."""
    model = _model()
    inputs = np.array([[np.log(row["amount"]), *(row[name] for name in FEATURES[1:])] for row in rows], float)
    scaled = (inputs - model["mean"]) / model["spread"]
    yes = _sigmoid(np.column_stack([np.ones(len(scaled)), scaled]) @ model["weights"])
    return np.column_stack([1 - yes, yes])


@cache
def _model() -> dict:
    """What ``train`` has left: the model of this generation, or the one that came with the example."""
    folder = Path(os.environ.get("DEEPAAS_CORE_MODEL_DIR", HERE / "model"))
    return json.loads((folder / "model.json").read_text())


def _table() -> tuple:
    """Features and outcome of every transaction; what is known of the card is joined as the service does it."""
    with open(HERE / "cardholder_info.csv", newline="") as file:
        cards = {row["card_id"]: row for row in csv.DictReader(file)}
    with open(HERE / "transactions.csv", newline="") as file:
        bought = list(csv.DictReader(file))
    rows = []
    for one in bought:
        card = cards[one["card_id"]]
        rows.append([np.log(float(one["amount"])), one["abroad"], card["fico_score"], card["age"]])
    return np.array(rows, float), np.array([float(one["fraud"]) for one in bought])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _auc(likely: np.ndarray, fraud: np.ndarray) -> float:
    """Area under the ROC curve: how often a fraud is rated above what is none."""
    ranks = np.empty(len(likely))
    ranks[np.argsort(likely)] = np.arange(1, len(likely) + 1)
    positive = int(fraud.sum())
    return float((ranks[fraud == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(fraud) - positive)))
