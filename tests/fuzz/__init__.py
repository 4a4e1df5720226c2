"""Commands that throw random input at what reads foreign bytes, for minutes; the tests run seconds of them."""
