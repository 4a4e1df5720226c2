"""What alerts would have done in the past, judged and reported."""
