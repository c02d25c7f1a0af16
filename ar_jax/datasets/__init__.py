"""Data sets: values that say which examples train, validate and test."""

from ar_jax.datasets.base import Dataset, File, Origin, place
from ar_jax.datasets.chorales import Chorales
from ar_jax.datasets.cifar10 import CIFAR10
from ar_jax.datasets.digits import Digits
from ar_jax.datasets.imagenet import ImageNet
from ar_jax.datasets.images import Images
from ar_jax.datasets.jsb_chorales import JSBChorales
from ar_jax.datasets.mnist import MNIST, BinarisedMNIST, FashionMNIST, StaticBinarisedMNIST
from ar_jax.datasets.proteins import Proteins
from ar_jax.datasets.shakespeare import TinyShakespeare
from ar_jax.datasets.speech import Speech
from ar_jax.datasets.tables import Electricity, ScikitTable
from ar_jax.datasets.text import Enwik8, Text, Text8
from ar_jax.datasets.uci import UCI

__all__ = [
    "CIFAR10",
    "MNIST",
    "UCI",
    "BinarisedMNIST",
    "Chorales",
    "Dataset",
    "Digits",
    "Electricity",
    "Enwik8",
    "FashionMNIST",
    "File",
    "ImageNet",
    "Images",
    "JSBChorales",
    "Origin",
    "Proteins",
    "ScikitTable",
    "Speech",
    "StaticBinarisedMNIST",
    "Text",
    "Text8",
    "TinyShakespeare",
    "place",
]
