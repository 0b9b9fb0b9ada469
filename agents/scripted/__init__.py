"""Scripted oracles and baselines."""
