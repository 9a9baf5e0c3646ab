"""Two digits side by side, two answers: what it means that a skill has a place."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from shapekeeper.constraints import Connections, Constraint
from shapekeeper.randomness import generator
from shapekeeper.regions import Region, RegionGraph

from .dense import dense_network
from .digits import digit_images
from .task import Data, Pair, Task, accuracy
from .writing import written

__all__ = ["left_accuracy", "right_accuracy", "two_digits", "two_halves"]

PIXELS, CLASSES = 64, 10  # of one image
PAIRS = {"train": 4000, "validation": 400, "test": 2000}
SIDES = ("left", "right")


def two_halves() -> RegionGraph:
    """Two regions of 32 units without a pathway between them, `left` and `right`.

    Both see all 128 pixels and both answer: what each may read and say is bound by the constraints
    of `two_digits`, so that soft strategies can bend that too.

    Returns:
        A graph without pathways, with positions.

    Example:
        >>> two_halves().names, two_halves().problems()
        (('left', 'right'), ())
    """
    places = {"left": (192.0, 240.0), "right": (400.0, 240.0)}
    regions = (Region(n, 32, position=xy, input=True, output=True) for n, xy in places.items())
    return RegionGraph(tuple(regions), note="Made up: two regions side by side.")


@written
def two_digits(
    graph: RegionGraph | None = None, *, steps: int | None = None, drawing: int = 0
) -> Task:
    """Name two real digits side by side, each in a place of its own.

    A region whose name begins with `left` may read only the left image and answer only for it;
    `right` alike; any other region reads and answers for both. Three constraints say so: `weight`,
    the drawing; `input_weights.<i>`, for every such region that sees all pixels (one that sees a
    whole number of pixels, e.g. `input=64`, has no other wires to bind); and `output_weight`, from
    output units to the twenty logits. Under all three, lesions dissociate by construction:
    silencing `left` takes the left answer and nothing else.

    Every seed has the same pairs, drawn with replacement from the parts of `digit_images`, so no
    image of the test pairs is in a training pair.

    Args:
        graph: The wiring; its input regions see 128 pixels, the left image's 64 first. None:
            `two_halves()`. One region of 64 units under another name is the network without
            places; `regions.two_hemispheres()` are two chains with a commissure.
        steps: Updates of a graph with loops; None leaves it to `compile_network`.
        drawing: Which random draw of the wires within densities below 1, one for all seeds.

    Returns:
        A task whose model answers with 20 logits, the left digit's first; targets (n, 2); its loss
        is the sum of both cross entropies, its metric the mean accuracy of both digits.

    Raises:
        StructureError: If the graph is not a network yet.

    Example:
        >>> task = two_digits()
        >>> list(task.constraints)
        ['weight', 'input_weights.0', 'input_weights.1', 'output_weight']
        >>> task.data_for(0).train[0].shape
        torch.Size([4000, 128])
    """
    wiring = two_halves() if graph is None else graph
    model = partial(
        dense_network,
        graph=wiring,
        in_features=2 * PIXELS,
        out_features=2 * CLASSES,
        steps=steps,
        drawing=drawing,
    )
    return Task(
        "two digits",
        model=model,
        data=Data(**{part: _pairs(part, *pair) for part, pair in digit_images().items()}),
        loss=_both_losses,
        metric=_both_accuracies,
        constraints={
            "weight": wiring.constraint(drawing),
            **_reading(wiring),
            **_answering(wiring),
        },
    )


def _pairs(part: str, images: Tensor, labels: Tensor) -> Pair:
    rng = generator(0, f"two digits/{part}")
    chosen = torch.randint(len(labels), (PAIRS[part], 2), generator=rng)
    return images[chosen].flatten(1), labels[chosen]


def _sides(region: Region) -> Tensor:
    """Which of (left, right) a region is for, bool (2,)."""
    own = [region.name.startswith(side) for side in SIDES]
    return torch.tensor(own if any(own) else [True, True])


def _reading(graph: RegionGraph) -> dict[str, Constraint]:
    inputs = [region for region in graph.regions if region.input]
    return {
        f"input_weights.{i}": Connections(
            _sides(region).repeat_interleave(PIXELS).expand(region.size, -1)
        )
        for i, region in enumerate(inputs)
        if region.input is True and not _sides(region).all()
    }


def _answering(graph: RegionGraph) -> dict[str, Constraint]:
    outputs = [region for region in graph.regions if region.output]
    columns = [
        _sides(region).repeat_interleave(CLASSES)[:, None].expand(-1, region.size)
        for region in outputs
    ]
    mask = torch.cat(columns, 1)
    return {} if mask.all() else {"output_weight": Connections(mask)}


def left_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of left digits that were named right.

    Args:
        prediction: Logits (..., examples, 20).
        target: Digits (..., examples, 2).

    Returns:
        A share from 0 to 1, a scalar tensor.

    Example:
        >>> left_accuracy(torch.eye(20)[[3, 4]], torch.tensor([[3, 0], [5, 0]])).item()
        0.5
    """
    return accuracy(prediction[..., :CLASSES], target[..., 0])


def right_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Share of right digits that were named right.

    Args:
        prediction: Logits (..., examples, 20).
        target: Digits (..., examples, 2).

    Returns:
        A share from 0 to 1, a scalar tensor.

    Example:
        >>> right_accuracy(torch.eye(20)[[13, 14]], torch.tensor([[0, 3], [0, 4]])).item()
        1.0
    """
    return accuracy(prediction[..., CLASSES:], target[..., 1])


def _both_losses(prediction: Tensor, target: Tensor) -> Tensor:
    left = cross_entropy(prediction[..., :CLASSES], target[..., 0])
    return left + cross_entropy(prediction[..., CLASSES:], target[..., 1])


def _both_accuracies(prediction: Tensor, target: Tensor) -> Tensor:
    return (left_accuracy(prediction, target) + right_accuracy(prediction, target)) / 2
