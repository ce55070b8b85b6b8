"""Coverage-guided fuzzing: `targets` says of what, `run` does it. Not part of the package."""
