"""Functions that several parts share."""
