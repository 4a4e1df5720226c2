"""Measurements that are read, not asserted on."""
