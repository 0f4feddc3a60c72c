"""Work on one loaded model: fast generation, packed readouts, hooks, steering, activations."""
