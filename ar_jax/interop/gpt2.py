"""GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019)."""

from typing import Any

from ar_jax.conditionals import Transformer
from ar_jax.interop.architecture import (
    EMBEDDING,
    MOST_LAYERS,
    Architecture,
    Part,
    language_model,
)
from ar_jax.interop.checkpoint import Config
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.nn import Learned

ACTIVATIONS = {
    "gelu_pytorch_tanh": "gelu",
    "gelu_new": "gelu",
    "relu": "relu",
    "quick_gelu": "quick_gelu",
}
"""Theirs and ours; our `gelu` is the approximation by a hyperbolic tangent."""


class GPT2(Architecture):
    """Pre-norm, learned positions, biases; its linear maps are `[inputs, outputs]`, as ours."""

    prefix = "transformer."
    ignored = r"h\.\d+\.attn\.(masked_)?bias|lm_head\.weight"
    like = Transformer(positions=Learned(), projections=False, context_start=True)
    free = (*Architecture.free, "activation")

    def model(self, config: Config) -> AutoregressiveModel:
        config.choice("scale_attn_weights", [True], True)
        config.choice("scale_attn_by_inverse_layer_idx", [False], False)
        config.choice("add_cross_attention", [False], False)
        positions, width = config.size("n_positions"), config.size("n_embd")
        net = self.like.clone(
            layers=config.size("n_layer", most=MOST_LAYERS),
            width=width,
            heads=config.size("n_head"),
            hidden=config.size("n_inner", 4 * width),
            positions=Learned(places=positions),
            norm_epsilon=config.number("layer_norm_epsilon", 1e-5),
            activation=ACTIVATIONS[
                config.choice("activation_function", list(ACTIVATIONS), "gelu_new")
            ],
        )
        return language_model(config, net, positions, tied=True)

    def outline(self, model: AutoregressiveModel) -> dict[str, tuple[int, ...]]:
        net: Any = model.conditional
        return {
            "wte.weight": (model.head.values, net.width),
            "wpe.weight": (net.positions.places, net.width),
            "h.0.mlp.c_fc.weight": (net.width, net.hidden),
        }

    def config(self, model: AutoregressiveModel) -> dict[str, Any]:
        net = model.conditional
        activations = {ours: theirs for theirs, ours in ACTIVATIONS.items()}
        if net.activation not in activations:
            raise ValueError(
                f"conditional.activation: expected one of {', '.join(activations)} in a GPT2, "
                f"got {net.activation}"
            )
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "n_layer": net.layers,
            "n_embd": net.width,
            "n_head": net.heads,
            "n_inner": None if net.hidden in (0, 4 * net.width) else net.hidden,
            "n_positions": net.positions.places or model.ordering.length,
            "layer_norm_epsilon": net.norm_epsilon,
            "activation_function": activations[net.activation],
        }

    def parts(self, conditional: Transformer) -> list[Part]:
        parts = [
            Part(EMBEDDING, ["wte.weight"]),
            Part("conditional/positions/table", ["wpe.weight"]),
        ]
        names = {"conditional/readout_norm": "ln_f"}
        for i in range(conditional.layers):
            names |= {
                f"conditional/blocks_{i}/{ours}": f"h.{i}.{theirs}"
                for ours, theirs in (
                    ("attention_norm", "ln_1"),
                    ("query_key_value", "attn.c_attn"),
                    ("attention_out", "attn.c_proj"),
                    ("feed_forward_norm", "ln_2"),
                    ("up", "mlp.c_fc"),
                    ("down", "mlp.c_proj"),
                )
            }
        for ours, theirs in names.items():
            weight = "scale" if ours.endswith("norm") else "kernel"
            parts.append(Part(f"{ours}/{weight}", [f"{theirs}.weight"]))
            parts.append(Part(f"{ours}/bias", [f"{theirs}.bias"]))
        return parts
