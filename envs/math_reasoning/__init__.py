"""MathReasoning-v0: arithmetic and word problems with graded difficulty and exact verification."""
