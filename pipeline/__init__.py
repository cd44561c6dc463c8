"""Scores live sensor readings from Kafka and publishes incidents."""
