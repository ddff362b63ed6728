"""What people look at: the page about a run, the model card, the exported adapter folder."""
