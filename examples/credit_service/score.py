"""Will a credit be paid back? Two models answer from its duration, its amount and the age of who asks for it."""

from pathlib import Path

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
KEPT = HERE / "model" / "models.joblib"
FEATURES = {"duration_in_month": "duration", "credit_amount": "amount", "age_in_years": "age"}


def untrained(trees: int = 100) -> dict:
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "forest": RandomForestClassifier(n_estimators=trees, min_samples_leaf=10, random_state=1),
    }


def read_credits() -> tuple[pd.DataFrame, pd.Series]:
    """What was known of each credit, and its outcome."""
    credits = pd.read_csv(HERE / "german_credit.csv").rename(columns=FEATURES)
    return credits[list(FEATURES.values())], credits["creditability"]


def train(trees: int = 100) -> None:
    """Measure both models on a fifth of the credits that they have not seen, and fit them to all.

    Args:
        trees: How many the forest has.
    """
    from deepaas_core import run

    known, outcome = read_credits()
    seen, unseen, told, untold = train_test_split(known, outcome, test_size=0.2, stratify=outcome, random_state=1)
    models = untrained(trees)
    for name, model in models.items():
        good = model.fit(seen, told).predict_proba(unseen)[:, 1]
        run.report(**{f"auc_{name}": roc_auc_score(untold == "good", good)})
        model.fit(known, outcome)
    joblib.dump(models, run.model_dir() / KEPT.name)


def by_logistic_regression(features: pd.DataFrame):
    """Probabilities of ``bad`` and ``good``, one row each."""
    return models["logistic"].predict_proba(features)


def by_random_forest(features: pd.DataFrame):
    """Probabilities of ``bad`` and ``good``, one row each."""
    return models["forest"].predict_proba(features)


if KEPT.exists():
    models = joblib.load(KEPT)
else:
    models = {name: model.fit(*read_credits()) for name, model in untrained().items()}
