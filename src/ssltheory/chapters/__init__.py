"""The chapters, one room each: facts and parameters, experiment, claims, figures, explorer."""
