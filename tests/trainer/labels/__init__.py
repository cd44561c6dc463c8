"""What operators' verdicts teach a detector."""
