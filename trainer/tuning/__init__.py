"""`trainer tune`: a search for the settings that suit a history."""
