"""What models import of DEEPaaS, where it is not installed."""

__version__ = "2.6.0"
