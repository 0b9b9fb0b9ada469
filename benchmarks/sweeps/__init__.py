"""Sweeps: every task with every size, protocol and team, in one store, and the report that is made of it."""
