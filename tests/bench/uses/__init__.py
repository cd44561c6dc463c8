"""What more a detector is good for, measured."""
