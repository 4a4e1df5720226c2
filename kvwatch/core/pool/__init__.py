"""The engines of one model together, and how many replicas its traffic needs. Reads views only."""
