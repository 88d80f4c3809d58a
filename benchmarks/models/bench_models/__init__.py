"""The work that is measured, in ``work``, and beside it one model package's module for each model."""
