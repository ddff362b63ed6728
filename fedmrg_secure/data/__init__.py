"""Image-report pairs: where they come from, how they are read, split and labelled."""
