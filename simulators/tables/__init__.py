"""Tables that can be drawn and asked about, cell by cell."""
