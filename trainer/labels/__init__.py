"""What operators' verdicts teach a detector, beside what its history does."""
