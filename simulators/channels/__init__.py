"""Ways in which N agents exchange text in synchronous rounds: mailboxes, a broadcast log, a shared file store."""
