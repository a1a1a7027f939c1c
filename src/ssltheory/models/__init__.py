"""Networks: encoders, predictors and Siamese pairs."""
