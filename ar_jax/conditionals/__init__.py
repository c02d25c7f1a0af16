"""Conditionals: networks whose features at each step depend on the steps before it."""

from typing import Any

from ar_jax import former_names, nn
from ar_jax.conditionals.base import Conditional, SequenceConditional
from ar_jax.conditionals.diagonal_bilstm import DiagonalBiLSTM
from ar_jax.conditionals.fvsbn import FVSBN
from ar_jax.conditionals.gated_pixelcnn import GatedPixelCNN
from ar_jax.conditionals.gru import GRU
from ar_jax.conditionals.image_gpt import ImageGPT
from ar_jax.conditionals.image_transformer import ImageTransformer
from ar_jax.conditionals.linear_prediction import LinearPrediction
from ar_jax.conditionals.lru import LRU
from ar_jax.conditionals.lstm import LSTM
from ar_jax.conditionals.made import MADE
from ar_jax.conditionals.mamba import Mamba
from ar_jax.conditionals.masked_transformer import MaskedTransformer
from ar_jax.conditionals.nade import NADE
from ar_jax.conditionals.pixelcnn import PixelCNN
from ar_jax.conditionals.pixelcnn_plus_plus import PixelCNNPlusPlus
from ar_jax.conditionals.pixelsnail import PixelSNAIL
from ar_jax.conditionals.row_lstm import RowLSTM
from ar_jax.conditionals.s5 import S5
from ar_jax.conditionals.sparse_transformer import SparseTransformer
from ar_jax.conditionals.tcn import TCN
from ar_jax.conditionals.transformer import Transformer
from ar_jax.conditionals.wavenet import WaveNet

__all__ = [
    "FVSBN",
    "GRU",
    "LRU",
    "LSTM",
    "MADE",
    "NADE",
    "S5",
    "TCN",
    "Conditional",
    "DiagonalBiLSTM",
    "GatedPixelCNN",
    "ImageGPT",
    "ImageTransformer",
    "LinearPrediction",
    "Mamba",
    "MaskedTransformer",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelSNAIL",
    "RowLSTM",
    "SequenceConditional",
    "SparseTransformer",
    "Transformer",
    "WaveNet",
]


def __getattr__(name: str) -> Any:
    if name in former_names.LAYERS:
        former_names.warn(f"conditionals.{name}", f"nn.{name}")
        return getattr(nn, name)
    raise AttributeError(f"module 'ar_jax.conditionals' has no attribute {name!r}")
