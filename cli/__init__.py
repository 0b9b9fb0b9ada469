"""The fogline command."""
