"""TrustSQL-v0: text-to-SQL over a schema that nobody shows."""
