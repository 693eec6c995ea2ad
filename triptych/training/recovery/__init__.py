"""What a step does when it fails, and what a run does when it was killed."""
