"""The reports that commands write, as pages: valid, open to anybody, and whole without a network."""
