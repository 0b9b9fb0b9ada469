"""SalesDialogue-v0: convert a customer over a session, and speak well in every turn (DuCA)."""
