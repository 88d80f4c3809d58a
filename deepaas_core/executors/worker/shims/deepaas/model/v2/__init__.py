"""Models of the second generation."""
