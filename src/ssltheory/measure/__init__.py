"""What is measured on a network: spectra, probes, kernels."""
