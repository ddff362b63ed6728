"""What leaves a site: the flattened, clipped, fixed-point coded difference of the shared state."""
