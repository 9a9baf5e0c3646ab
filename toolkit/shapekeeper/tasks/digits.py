"""Real handwritten digits, read by a network whose wiring is drawn."""

from functools import partial

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

from shapekeeper.randomness import generator
from shapekeeper.regions import Pathway, Region, RegionGraph

from .dense import dense_network
from .task import Data, Pair, Task, accuracy
from .writing import written

__all__ = ["banded_brain", "digit_images", "digits"]

TRAIN, VALIDATION = 1000, 200


def digit_images() -> dict[str, Pair]:
    """The 1797 handwritten digits that come with scikit-learn, cut in three.

    Images of 8 × 8 pixels from 0 to 16, divided by 16. One permutation, the same everywhere, puts
    1000 images into `train`, 200 into `validation` (for choosing settings) and 597 into `test`. It
    mixes the writers: nobody's hand is new in the test set.

    Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, the test part.

    Returns:
        Part -> pair of images (n, 64), row by row from the top, and digits (n,).

    Example:
        >>> {part: tuple(x.shape) for part, (x, _) in digit_images().items()}
        {'train': (1000, 64), 'validation': (200, 64), 'test': (597, 64)}
    """
    pixels, digits = load_digits(return_X_y=True)
    images = torch.tensor(pixels, dtype=torch.float32) / 16
    labels = torch.tensor(digits, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=generator(0, "digits"))
    rest = len(labels) - TRAIN - VALIDATION
    parts = order.split([TRAIN, VALIDATION, rest])
    names = ("train", "validation", "test")
    return {name: (images[i], labels[i]) for name, i in zip(names, parts, strict=True)}


def banded_brain() -> RegionGraph:
    """Eight regions for an image of 64 pixels: each of four sees two rows of it.

    Two regions each put two neighboring bands together, an association region puts these and the
    bands themselves together, the last one answers. Of the weights that a feed-forward network may
    read, 18 % are open.

    Returns:
        A graph without loops, with positions.

    Example:
        >>> graph = banded_brain()
        >>> len(graph.regions), graph.is_feedforward, graph.problems()
        (8, True, ())
    """
    bands = ("top", "upper", "lower", "bottom")
    halves = ("upper half", "upper half", "lower half", "lower half")
    places = [(104.0, 72.0 + 112.0 * row) for row in range(4)]
    regions = (
        *(Region(b, 24, 0.1, xy, input=16) for b, xy in zip(bands, places, strict=True)),
        Region("upper half", 32, 0.1, (256.0, 64.0)),
        Region("lower half", 32, 0.1, (256.0, 416.0)),
        Region("association", 48, 0.1, (384.0, 240.0)),
        Region("motor", 32, 0.1, (504.0, 240.0), output=True),
    )
    pathways = (
        *(Pathway(b, half, 0.4) for b, half in zip(bands, halves, strict=True)),
        *(Pathway(half, "association", 0.4) for half in halves[1:3]),
        *(Pathway(b, "association", 0.25) for b in bands),
        Pathway("association", "motor", 0.5),
    )
    note = "Made up: four bands of an image, put together in steps."
    return RegionGraph(regions, pathways, note=note)


@written
def digits(graph: RegionGraph | None = None, *, steps: int | None = None, drawing: int = 0) -> Task:
    """Name the digit in a real image of 8 × 8 pixels, with the wiring of a region graph.

    Every seed has the same images (`digit_images`) and the same mask: which wires a density opens
    belongs to the structure. The model factory gives an ordinary dense start, in which all weights
    that the network can read are drawn; a strategy brings it to the drawing, or does not.

    Args:
        graph: The wiring; its input regions see 64 pixels, row by row. None: `banded_brain()`.
        steps: Updates of a graph with loops; None leaves it to `compile_network`.
        drawing: Which random draw of the wires within densities below 1, one for all seeds.

    Returns:
        A task with cross entropy as its loss and accuracy as its metric.

    Raises:
        StructureError: If the graph is not a network yet.

    Example:
        >>> task = digits()
        >>> list(task.constraints), task.constraints["weight"].mask.shape
        (['weight'], torch.Size([240, 240]))
        >>> task.data_for(0)
        Data(train=(1000, 64)->(1000,), test=(597, 64)->(597,), validation=(200, 64)->(200,))
    """
    wiring = banded_brain() if graph is None else graph
    model = partial(
        dense_network,
        graph=wiring,
        in_features=64,
        out_features=10,
        steps=steps,
        drawing=drawing,
    )
    return Task(
        "digits",
        model=model,
        data=Data(**digit_images()),
        loss=cross_entropy,
        metric=accuracy,
        constraints={"weight": wiring.constraint(drawing)},
    )
