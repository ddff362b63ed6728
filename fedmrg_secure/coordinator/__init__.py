"""The aggregator: it relays, adds residues and keeps order, and cannot open anything."""
