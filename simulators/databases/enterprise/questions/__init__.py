"""Questions over a generated database: one module per group of families, one function per template."""
