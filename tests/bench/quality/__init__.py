"""Detection quality on labelled public data, default settings for every set."""
