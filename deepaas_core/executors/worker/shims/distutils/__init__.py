"""The few things of it that older packages still import, for the Pythons that have it no more (3.12 and newer)."""
