"""Shared vocabulary: turns, episodes, rewards by horizon, text space, chat-model client, run store."""
