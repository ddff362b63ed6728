"""A whole federation on one machine: plan, processes, run folder, judging; the oracle."""
