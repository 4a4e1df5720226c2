"""What every constant of the estimator is worth: each halved and doubled, and what then becomes of the accuracy."""
