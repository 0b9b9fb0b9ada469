"""Worlds that answer back, without gymnasium."""
