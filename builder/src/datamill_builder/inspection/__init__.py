"""Looking at what lies in the store: whether every byte is what it was."""
