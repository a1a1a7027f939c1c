"""The grids of chapter 14."""

#: Smallest crop as a share of the image's area, the first without crops; jitter strengths; weight decays.
AREAS = {
    "crop": (1.0, 0.75, 0.5, 0.25, 0.08),
    "all": (1.0, 0.75, 0.5, 0.25, 0.08),
    "fine": (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.08),
}
JITTERS = {"crop": (), "all": (0.4, 0.8), "fine": (0.2, 0.4, 0.8)}
DECAYS = {"crop": (), "all": (0.0, 2e-3, 8e-3), "fine": (0.0, 2e-3, 8e-3)}
