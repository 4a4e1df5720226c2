"""The Helm chart, rendered by real Helm 3 and Helm 4 binaries."""
