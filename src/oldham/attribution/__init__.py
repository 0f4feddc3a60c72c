"""What a model does it with: directions, probes, depth and the tokens, steps and heads behind a refusal."""
