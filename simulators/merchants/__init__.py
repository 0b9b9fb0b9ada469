"""Merchants and the people who order from them: logs, a synthetic market with known truth, and what-if simulation.

After PGHS (policy-guided hybrid simulation, arXiv 2604.15190), of which only the abstract is known: this is an
implementation of the idea, not a reproduction of the paper's system.
"""
