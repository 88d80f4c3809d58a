"""Will a credit be paid back? Two models answer from its duration, its amount and the age of who asks for it."""

from pathlib import Path

import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FEATURES = {"duration_in_month": "duration", "credit_amount": "amount", "age_in_years": "age"}

credits = pd.read_csv(Path(__file__).with_name("german_credit.csv")).rename(columns=FEATURES)
known, outcome = credits[list(FEATURES.values())], credits["creditability"]

logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(known, outcome)
forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=10, random_state=1).fit(known, outcome)


def by_logistic_regression(features: pd.DataFrame):
    """Probabilities of ``bad`` and ``good``, one row each."""
    return logistic.predict_proba(features)


def by_random_forest(features: pd.DataFrame):
    """Probabilities of ``bad`` and ``good``, one row each."""
    return forest.predict_proba(features)
