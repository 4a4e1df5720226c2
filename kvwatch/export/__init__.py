"""Views out: the catalogue of exported names, and the formats in which a view leaves kvwatch."""
