"""Customers that answer a seller: a seeded rule engine, and models that word it or play it."""
