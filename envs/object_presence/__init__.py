"""ObjectPresence-v0: say what is in a picture, and nothing that only usually goes with it."""
