"""Gives back what it gets."""


def predict_data(data):
    return data
