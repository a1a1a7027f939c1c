"""What the chapters' figures share: the table of what is drawn."""

import csv
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ssltheory.book import figures


@pytest.fixture
def table(monkeypatch):
    """Of a figure that a function draws on one Axes: the rows of its CSV."""

    def of(draw) -> list[dict]:
        figure, ax = plt.subplots()
        draw(ax)
        monkeypatch.setattr(figures, "draw", lambda chapter, arrays: figure)
        return list(csv.DictReader(io.StringIO(figures.drawn_csv(None, {}))))

    return of


def test_every_kind_of_thing_is_in_the_table(table):
    def draw(ax):
        ax.plot([0, 1], [2.0, 3.0], label="curve")
        ax.scatter([4], [5], label="cloud")
        ax.imshow(np.array([[6.0, 7.0]]), aspect="auto")

    rows = table(draw)
    assert [(row["kind"], row["series"], row["x"], row["y"], row["value"]) for row in rows] == [
        ("curve", "curve", "0", "2", ""),
        ("curve", "curve", "1", "3", ""),
        ("points", "cloud", "4", "5", ""),
        ("image", "1", "0", "0", "6"),
        ("image", "1", "1", "0", "7"),
    ]


@pytest.mark.parametrize("places", [["small", "large"], [0, 1]])
def test_bars_keep_the_names_of_their_places(table, places):
    def draw(ax):
        ax.bar(places, [3.0, 5.0])
        ax.set_xticks([0, 1], ["small", "large"])

    assert [(row["x_name"], row["y_name"], row["y"]) for row in table(draw)] == [
        ("small", "", "3"),
        ("large", "", "5"),
    ]


def test_ticks_that_are_their_own_numbers_are_no_names(table):
    def draw(ax):
        ax.plot([-1, 1], [0, 0])
        ax.set_xticks([-1, 0, 1], ["−1", "0", "1"])

    assert {row["x_name"] for row in table(draw)} == {""}
