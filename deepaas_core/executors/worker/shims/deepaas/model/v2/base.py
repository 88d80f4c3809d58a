"""The class that some models derive from."""


class BaseModel:
    """Offers nothing by itself."""
