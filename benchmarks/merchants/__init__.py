"""What-if answers for people: tables for the terminal, Parquet for machines, and a page with plots."""
