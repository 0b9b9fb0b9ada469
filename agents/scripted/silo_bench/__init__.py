"""Agents of Silo-Bench that follow a schedule, and some that fail on purpose."""
