"""The flags of each command, apart from what the command does, which takes half a second to import."""
