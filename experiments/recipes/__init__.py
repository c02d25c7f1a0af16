"""Recipes of the likelihood benchmarks, after the papers and for two cores."""

from experiments.recipes import (
    binarised_mnist,
    characters,
    colour_images,
    first_figures,
    jsb_chorales,
    shakespeare,
    uci,
)
from experiments.recipes.base import Benchmark, Recipe

BENCHMARKS: dict[str, Benchmark] = {
    "dynamic_mnist": binarised_mnist.DYNAMIC,
    "static_mnist": binarised_mnist.STATIC,
    **colour_images.BENCHMARKS,
    "shakespeare": shakespeare.BENCHMARK,
    **characters.BENCHMARKS,
    **uci.BENCHMARKS,
    "jsb_chorales": jsb_chorales.BENCHMARK,
    **first_figures.BENCHMARKS,
}

RECIPES: dict[str, Recipe] = {
    f"{benchmark}/{name}": recipe
    for benchmark, content in BENCHMARKS.items()
    for name, recipe in content.recipes.items()
}
