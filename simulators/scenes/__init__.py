"""Scenes of a few objects that go together: what is in a picture is known exactly, and what to expect misleads."""
