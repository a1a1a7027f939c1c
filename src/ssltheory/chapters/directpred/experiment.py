"""The methods that chapter 06 compares."""

#: Every method by name, in the order of the figures.
METHODS = (
    *("directpred", "directpred_5", "directcopy", "byol_linear", "byol", "simsiam"),
    *("no_predictor", "no_stop_gradient"),
)
THREE = ("directpred", "byol_linear", "no_predictor")
