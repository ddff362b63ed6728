"""A site's agent: policy, one round from top to bottom, opening sums, its own durable state."""
