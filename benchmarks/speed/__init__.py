"""The speed claims, each measured against a named peer or the raw cost in the same run."""
