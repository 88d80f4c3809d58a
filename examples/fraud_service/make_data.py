"""Makes up the tables of this example: cards, merchants, and what was bought with the one at the other.

Nothing here is anybody's. The same seed gives the same tables; ``python make_data.py`` writes them anew.
"""

import csv
import math
import random
from datetime import datetime, timedelta

#: What is usually paid, and how likely fraud is, as a log-odds.
CATEGORIES = {
    "groceries": (42, -1.2),
    "fuel": (55, -0.8),
    "travel": (380, 0.4),
    "electronics": (260, 0.9),
    "games": (35, 1.1),
}
COUNTRIES = ["DE", "ES", "FR", "IT", "PL"]


def main(seed: int = 11, cards: int = 400, merchants: int = 120, transactions: int = 4000) -> None:
    chance = random.Random(seed)
    holders = [
        {
            "card_id": f"C{number:05}",
            "fico_score": round(min(850, max(300, chance.gauss(690, 75)))),
            "age": round(min(25.0, chance.expovariate(1 / 5)), 1),
            "country": chance.choices(COUNTRIES, [5, 2, 2, 2, 1])[0],
        }
        for number in range(1, cards + 1)
    ]
    shops = [
        {
            "merchant_id": f"M{number:04}",
            "category": chance.choice(list(CATEGORIES)),
            "country": chance.choices(COUNTRIES, [5, 2, 2, 2, 1])[0],
            "complaints": round(chance.expovariate(1 / 1.5), 2),
        }
        for number in range(1, merchants + 1)
    ]
    bought = [purchase(chance, chance.choice(holders), chance.choice(shops), number) for number in range(transactions)]
    write("cardholder_info.csv", holders)
    write("merchant_info.csv", shops)
    write("transactions.csv", bought)


def purchase(chance: random.Random, card: dict, shop: dict, number: int) -> dict:
    """One transaction; fraud is likelier with young cards, low scores, from abroad, at night, of large amounts."""
    typical, risk = CATEGORIES[shop["category"]]
    at = datetime(2026, 1, 1) + timedelta(minutes=55 * number + chance.randrange(55))
    amount = round(typical * math.exp(chance.gauss(0, 0.8)), 2)
    abroad = card["country"] != shop["country"]
    evidence = (
        -4.2
        + risk
        + 0.9 * math.log(amount / typical)
        + 1.3 * abroad
        + 0.8 * (at.hour < 6)
        + 0.35 * shop["complaints"]
        - 0.012 * (card["fico_score"] - 690)
        - 0.12 * (card["age"] - 5)
    )
    return {
        "time": at.isoformat(),
        "card_id": card["card_id"],
        "merchant_id": shop["merchant_id"],
        "amount": amount,
        "abroad": int(abroad),
        "fraud": int(chance.random() < 1 / (1 + math.exp(-evidence))),
    }


def write(path: str, rows: list[dict]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
