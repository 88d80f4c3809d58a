"""How many points an exam brings after so many hours of learning: a straight line through ten measurements."""

import numpy as np

HOURS = np.array([1, 2, 2.5, 3, 4, 5, 6, 7, 8, 9.5])
POINTS = np.array([22, 31, 30, 41, 48, 53, 67, 70, 84, 92])

slope, intercept = np.polyfit(HOURS, POINTS, 1)


def predict(hours: float, bonus: float = 0.0) -> dict:
    """Points to expect.

    Args:
        hours: Hours of learning, 0 or more.
        bonus: Points that are given besides.
    """
    if hours < 0:
        raise ValueError(f"nobody learns for {hours} hours")
    return {"points": round(intercept + slope * hours + bonus, 1)}
