"""What a model would answer along its trace: steps, readouts, and when the answer is settled."""
