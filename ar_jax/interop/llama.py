"""Llama (Touvron et al., arXiv 2302.13971; grouped queries: arXiv 2307.09288)."""

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
from ar_jax.nn import Rotary


class Llama(Architecture):
    """RMSNorm, rotary positions, gated feed-forward layers, no biases; rotation is not rescaled.

    Their linear maps are `[outputs, inputs]`. They turn the first half of a head's features
    against the second, as `Rotary` does.
    """

    prefix = "model."
    ignored = r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq|lm_head\.weight"
    like = Transformer(
        positions=Rotary(), activation="swiglu", norm="rms", bias=False, projections=False,
        context_start=True,
    )  # fmt: skip
    free = (*Architecture.free, "key_value_heads")

    def model(self, config: Config) -> AutoregressiveModel:
        config.choice("hidden_act", ["silu"], "silu")
        config.choice("attention_bias", [False], False)
        config.choice("mlp_bias", [False], False)
        width, heads = config.size("hidden_size"), config.size("num_attention_heads")
        config.choice("head_dim", [width // heads], width // heads)
        net = self.like.clone(
            layers=config.size("num_hidden_layers", most=MOST_LAYERS),
            width=width,
            heads=heads,
            key_value_heads=config.size("num_key_value_heads", heads),
            hidden=config.size("intermediate_size"),
            positions=Rotary(base=_rotary_base(config)),
            norm_epsilon=config.number("rms_norm_eps", 1e-6),
        )
        positions = config.size("max_position_embeddings")
        return language_model(config, net, positions, tied=False)

    def outline(self, model: AutoregressiveModel) -> dict[str, tuple[int, ...]]:
        net: Any = model.conditional
        return {
            "embed_tokens.weight": (model.head.values, net.width),
            "layers.0.mlp.up_proj.weight": (net.hidden, net.width),
        }

    def config(self, model: AutoregressiveModel) -> dict[str, Any]:
        net = model.conditional
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": net.layers,
            "hidden_size": net.width,
            "num_attention_heads": net.heads,
            "num_key_value_heads": net.key_value_heads or net.heads,
            "head_dim": net.width // net.heads,
            "intermediate_size": net.hidden or 4 * net.width,
            "max_position_embeddings": model.ordering.length,
            "rms_norm_eps": net.norm_epsilon,
            "rope_parameters": {"rope_type": "default", "rope_theta": net.positions.base},
            "rope_theta": net.positions.base,  # where older versions look
        }

    def parts(self, conditional: Transformer) -> list[Part]:
        net = conditional
        hidden = net.hidden or 4 * net.width
        shared = net.width * (net.key_value_heads or net.heads) // net.heads
        parts = [
            Part(EMBEDDING, ["embed_tokens.weight"]),
            Part("conditional/readout_norm/scale", ["norm.weight"]),
        ]
        for i in range(net.layers):

            def part(ours: str, theirs: str, cuts: tuple[int, ...] = (), i: int = i) -> Part:
                names = [f"layers.{i}.{name}.weight" for name in theirs.split()]
                return Part(f"conditional/blocks_{i}/{ours}", names, cuts, transposed=True)

            parts += [
                part("attention_norm/scale", "input_layernorm"),
                part(
                    "query_key_value/kernel",
                    "self_attn.q_proj self_attn.k_proj self_attn.v_proj",
                    (net.width, net.width + shared),
                ),
                part("attention_out/kernel", "self_attn.o_proj"),
                part("feed_forward_norm/scale", "post_attention_layernorm"),
                part("up/kernel", "mlp.gate_proj mlp.up_proj", (hidden,)),
                part("down/kernel", "mlp.down_proj"),
            ]
        return parts


def _rotary_base(config: Config) -> float:
    """Of an unscaled rotation, told in one of the ways that versions of `transformers` have."""
    config.nested("rope_scaling").choice("rope_type", ["default"], "default")
    config.nested("rope_scaling").choice("type", ["default"], "default")
    rope = config.nested("rope_parameters")
    rope.choice("rope_type", ["default"], "default")
    return rope.number("rope_theta", config.number("rope_theta", 10_000.0))
