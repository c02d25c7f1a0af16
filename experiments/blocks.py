"""Steps of several variables, with a small model inside the step."""

import ar_jax as ar


def by_blocks(
    ordering: ar.orderings.Ordering,
    conditional: ar.conditionals.Conditional,
    head: ar.heads.Head,
    hidden: tuple[int, ...] = (256,),
) -> ar.AutoregressiveModel:
    """Events block by block, and variable by variable inside a block.

    Args:
      ordering: its blocks are patches, chords, stretches of sound.
      conditional: of the blocks.
      head: of one variable.
      hidden: units of the layers of the model inside a block.
    """
    block = ar.AutoregressiveModel(
        ordering=ar.orderings.Raster(ordering.block),
        conditional=ar.conditionals.MADE(hidden=hidden),
        head=head,
        context=ar.contexts.Vector(size=128, width=128),
    )
    return ar.AutoregressiveModel(ordering, conditional, ar.heads.Nested(block))
