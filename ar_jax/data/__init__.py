"""Data: sources of examples, their transforms, and their batches."""

from ar_jax.data.batches import EvaluationBatches, training_batches
from ar_jax.data.files import read_content, read_fasta, read_text
from ar_jax.data.images import read_image, read_images
from ar_jax.data.npz import read_npy, read_npz
from ar_jax.data.recordings import read_recordings, read_wav
from ar_jax.data.sources import (
    Arrays,
    Chunks,
    Source,
    Splits,
    contiguous_split,
    shuffled_split,
    split_pieces,
)
from ar_jax.data.tables import continuous_columns, group_fold, spread_over_resolution
from ar_jax.data.tfds import tfds_images, tfds_stored_images, tfds_text
from ar_jax.data.tokenizers import BPE, Bytes, Characters, Tokenizer, prompts
from ar_jax.data.transforms import (
    EventTransform,
    binarise,
    dequantise,
    grey_levels,
    mu_law,
    mu_law_inverse,
    unchanged,
)

__all__ = [
    "BPE",
    "Arrays",
    "Bytes",
    "Characters",
    "Chunks",
    "EvaluationBatches",
    "EventTransform",
    "Source",
    "Splits",
    "Tokenizer",
    "binarise",
    "contiguous_split",
    "continuous_columns",
    "dequantise",
    "grey_levels",
    "group_fold",
    "mu_law",
    "mu_law_inverse",
    "prompts",
    "read_content",
    "read_fasta",
    "read_image",
    "read_images",
    "read_npy",
    "read_npz",
    "read_recordings",
    "read_text",
    "read_wav",
    "shuffled_split",
    "split_pieces",
    "spread_over_resolution",
    "tfds_images",
    "tfds_stored_images",
    "tfds_text",
    "training_batches",
    "unchanged",
]
