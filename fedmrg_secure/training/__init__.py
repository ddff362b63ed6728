"""Local training at a site: objectives, batches, one round's steps, seeds."""
