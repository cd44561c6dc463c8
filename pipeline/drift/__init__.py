"""What a worker observes over time: drift, and how often units have incidents."""
