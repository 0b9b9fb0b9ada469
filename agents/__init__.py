"""Who acts: scripted agents, chat agents, policies, and the one collector."""
