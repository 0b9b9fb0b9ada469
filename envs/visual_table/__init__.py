"""VisualTable-v0: answer a question about a table, and point at the cells that say so."""
