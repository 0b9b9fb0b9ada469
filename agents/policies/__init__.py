"""Policies: agents whose weights a trainer can update."""
