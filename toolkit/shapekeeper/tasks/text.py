"""Real English text, character by character: what comes next?"""

import math
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from .rules import Binding, bound
from .task import Data, Pair, Task, TaskError
from .transformer import CausalTransformer
from .writing import written

__all__ = ["ALPHABET", "symbols_of", "text", "text_parts"]

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
# Characters to learn from, windows to judge by.
SIZES: dict[str, tuple[int | None, int]] = {
    "tiny": (4_000, 32),
    "small": (20_000, 128),
    "full": (None, 256),
}
STRIDE = 8  # characters from one training window to the next
TYPESET = {"“": '"', "”": '"', "\u2018": "'", "’": "'", "–": "-", "—": "-", "…": "..."}

_SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def text_parts(source: str | Path | None = None) -> dict[str, str]:
    """English text cut into three stretches: the first 80 % of it, the next 10 %, the last 10 %.

    Without a source it is the language reference that every Python carries for its `help()`, the
    topics in the order of their names. It repeats itself (one topic quotes another), so each
    paragraph is kept where it comes first, and only there: nothing in the test was read in
    training. It differs a little from one version of Python to the next: about 370 000 characters
    in 3.11.

    Args:
        source: A text file in UTF-8 to use instead.

    Returns:
        Part (`train`, `validation`, `test`) -> text in the characters of `ALPHABET`.

    Raises:
        TaskError: If there is no such file, or Python came without its help.

    Example:
        >>> parts = text_parts()
        >>> parts["train"][:22]
        'The "assert" statement'
        >>> set("".join(parts.values())) <= set(ALPHABET)
        True
    """
    whole = _unrepeated(_help() if source is None else _read(source))
    plain = whole.translate(str.maketrans(TYPESET))
    plain = "".join(c if c in ALPHABET else "?" for c in plain)
    first, second = len(plain) * 8 // 10, len(plain) * 9 // 10
    return {"train": plain[:first], "validation": plain[first:second], "test": plain[second:]}


def symbols_of(text: str) -> Tensor:
    r"""Text as whole numbers, the places of its characters in `ALPHABET`.

    Args:
        text: Characters of `ALPHABET`.

    Returns:
        One byte for each character.

    Example:
        >>> symbols_of("a\n~").tolist()
        [66, 0, 95]
    """
    codes = torch.tensor(list(text.encode("ascii")), dtype=torch.uint8)
    return torch.where(codes == ord("\n"), 0, codes - 31).to(torch.uint8)


@written
def text(
    size: str = "small",
    *,
    source: str | Path | None = None,
    context: int = 64,
    width: int = 64,
    heads: int = 2,
    layers: int = 2,
    hidden: int = 128,
    norm_first: bool = True,
    constraints: Binding | None = None,
    batch_size: int = 16,
    optimizer: Callable[..., torch.optim.Optimizer] = _SGD,
) -> Task:
    """Guess the next character of English text, with a small transformer.

    The text is that of `text_parts`, cut before windows are taken: no window reaches from one part
    into another. Training windows begin at every eighth character; those of validation and test
    do not overlap, and are spread evenly over their part. After a few characters of a text it is
    soon known by heart: "small" is 20 000 of them.

    Args:
        size: "tiny" (4000 characters to learn from, for a try), "small" (20 000) or "full" (all).
        source: A text file in UTF-8 to learn instead.
        context: Characters in a window.
        width: As in `CausalTransformer`, as are the four below.
        heads: Of each attention.
        layers: Blocks.
        hidden: Units between the two layers of a block.
        norm_first: Whether sums are normalized before each branch or after it.
        constraints: What binds the weights: `Circles(0.3)`, or names and constraints.
        batch_size: Windows a step.
        optimizer: Parameters -> optimizer.

    Returns:
        A task whose loss is the mean cross entropy of a character in nats, its metric the same in
        bits; guessing by frequency alone costs about 4.6 bits, blind guessing 6.6.

    Raises:
        TaskError: If a setting can't be, or the text is too short; or a circle is too small for the
            start.

    Example:
        >>> text("tiny").data_for(0)
        Data(train=(492, 64)->(492, 64), test=(32, 64)->(32, 64), validation=(32, 64)->(32, 64))
    """
    if size not in SIZES or context < 1:
        problem = f"Wanted a size of {', '.join(SIZES)} and context >= 1, got {size!r}, {context}."
        raise TaskError("text", [problem])
    task = Task(
        f"text, {size}",
        model=partial(
            _model,
            symbols=len(ALPHABET),
            context=context,
            width=width,
            heads=heads,
            layers=layers,
            hidden=hidden,
            norm_first=norm_first,
        ),
        data=_data(text_parts(source), *SIZES[size], context),
        loss=_nats,
        metric=_bits,
        batch_size=batch_size,
        optimizer=optimizer,
        better="lower",
        metric_name="bits per character",
    )
    return bound(task, constraints)


def _model(seed: int, **sizes) -> CausalTransformer:
    return CausalTransformer(**sizes)


def _data(parts: dict[str, str], characters: int | None, count: int, context: int) -> Data:
    judged = {name: _spread(parts[name], count, context) for name in ("validation", "test")}
    learned = symbols_of(parts["train"][:characters])
    starts = torch.arange(0, max(len(learned) - context, 0), STRIDE)
    if not (len(starts) and all(map(len, judged.values()))):
        sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
        problem = f"Every part needs more than context={context} characters, got {sizes}."
        raise TaskError("text", [problem + " Take a longer text or a shorter context."])
    return Data(
        _windows(learned, starts, context),
        **{name: _windows(symbols_of(parts[name]), at, context) for name, at in judged.items()},
    )


def _spread(part: str, count: int, context: int) -> Tensor:
    """Where windows begin that do not overlap: as many as fit, at most `count`, evenly spread."""
    fitting = (len(part) - 1) // context
    count = min(count, fitting)
    return torch.arange(count) * fitting // max(count, 1) * context


def _windows(symbols: Tensor, starts: Tensor, context: int) -> Pair:
    """Windows (n, context), and the same one character on."""
    places = starts[:, None] + torch.arange(context)
    return symbols[places], symbols[places + 1]


def _nats(logits: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(logits.flatten(0, -2), target.flatten().long())


def _bits(logits: Tensor, target: Tensor) -> Tensor:
    return _nats(logits, target) / math.log(2)


@cache
def _help() -> str:
    try:
        from pydoc_data.topics import topics  # half a megabyte, which only this task reads
    except ImportError as error:
        problem = (
            "Wanted the text of Python's own help, but this Python came without pydoc_data. "
            "Give a text file as source=..., or install the full standard library."
        )
        raise TaskError("text", [problem]) from error
    return "\n\n".join(topics[name] for name in sorted(topics))


def _read(source: str | Path) -> str:
    try:
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"Wanted a text file in UTF-8, but {str(source)!r} can't be read: {error}."
        raise TaskError("text", [problem]) from error


def _unrepeated(text: str) -> str:
    """Each paragraph where it comes first, whatever the spaces and line ends in it."""
    kept: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        kept.setdefault(" ".join(paragraph.split()), paragraph.strip("\n"))
    return "\n\n".join(filter(None, kept.values()))
