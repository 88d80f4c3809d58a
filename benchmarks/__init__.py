"""Measures deepaas_core against its peers: see README.md."""
