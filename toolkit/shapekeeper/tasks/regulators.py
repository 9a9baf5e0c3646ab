"""Regulatory networks: who regulates whom, a reader for tables, a fair control, a group penalty.

Tables are written regulator -> gene, since regulators act on genes. A network that reads expression
computes the other way, gene -> regulator: from genes it infers what each regulator does.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
from torch import Tensor

from shapekeeper.constraints import Connections
from shapekeeper.randomness import generator

from .task import TaskError

__all__ = ["RegulatoryNetwork", "read_regulators", "regulator_penalty"]

Row: TypeAlias = tuple[str, str, int]  # regulator, gene, sign

EFFECTS = {"increase": 1, "decrease": -1, "other": 0}
SHOWN = 3  # names in a message
TRADES = 20  # per regulator; about 5 are usual


@dataclass(frozen=True, init=False, repr=False)
class RegulatoryNetwork:
    """Which regulator acts on which measured gene.

    Args:
        genes: Names of the measured genes, in the order of the expression matrix's columns.
        regulators: Names of the regulators, in the order of the layer's units.
        edges: `(regulator, gene)` or `(regulator, gene, sign)`: 1 where the regulator increases
            the gene, -1 where it decreases it, 0 (or left out) where that is not known.
        notes: What a reader of the network should know, e.g. what `read_regulators` left out.

    Attributes:
        edges: Triples `(regulator, gene, sign)`, sorted by regulator, then gene; so networks with
            the same edges are equal.

    Raises:
        TaskError: If names repeat, an edge names nobody, has another sign or occurs twice, or a
            regulator has no gene; all problems at once.

    Example:
        >>> network = RegulatoryNetwork(["a", "b", "c"], ["R", "S"], [("R", "a"), ("S", "c", -1)])
        >>> network.connections()
        Connections([[1, 0, 0], [0, 0, 1]])
        >>> network
        RegulatoryNetwork(3 genes, 2 regulators, 2 edges)
    """

    genes: tuple[str, ...]
    regulators: tuple[str, ...]
    edges: tuple[Row, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __init__(
        self,
        genes: Iterable[str],
        regulators: Iterable[str],
        edges: Iterable[tuple[str, str] | Row],
        notes: Iterable[str] = (),
    ) -> None:
        """See the class."""
        genes, regulators = tuple(genes), tuple(regulators)
        triples: list[Any] = [(*edge, 0) if len(edge) == 2 else tuple(edge) for edge in edges]
        problems = [*_repeated("genes", genes), *_repeated("regulators", regulators)]
        problems += _edge_problems(triples, genes, regulators)
        if problems:
            raise TaskError("regulatory network", problems)
        row, column = _places(regulators), _places(genes)
        ordered = sorted(triples, key=lambda edge: (row[edge[0]], column[edge[1]]))
        named = {"genes": genes, "regulators": regulators, "edges": tuple(ordered)}
        for name, value in (named | {"notes": tuple(notes)}).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """How much there is of each."""
        sizes = (len(self.genes), len(self.regulators), len(self.edges))
        return "RegulatoryNetwork({} genes, {} regulators, {} edges)".format(*sizes)

    @classmethod
    def random(
        cls, genes: int = 60, regulators: int = 8, each: int = 8, *, seed: int = 0
    ) -> "RegulatoryNetwork":
        """A network in which every regulator acts on as many genes, drawn without replacement.

        Args:
            genes: How many genes.
            regulators: How many regulators.
            each: Genes of each regulator; regulators draw apart, so that they may share genes.
            seed: Which draw.

        Returns:
            A network with genes `gene 1`, ... and regulators `regulator 1`, ...

        Raises:
            TaskError: If a number is below 1, or there are fewer genes than a regulator draws.

        Example:
            >>> RegulatoryNetwork.random(seed=3).counts
            (8, 8, 8, 8, 8, 8, 8, 8)
        """
        if not 1 <= each <= genes or regulators < 1:
            given = f"got genes={genes}, regulators={regulators}, each={each}"
            raise TaskError("random network", [f"Wanted 1 <= each <= genes, regulators; {given}."])
        rng = generator(seed, "genes/network")
        picks = [torch.randperm(genes, generator=rng)[:each].tolist() for _ in range(regulators)]
        names = [f"gene {i + 1}" for i in range(genes)]
        units = [f"regulator {i + 1}" for i in range(regulators)]
        pairs = zip(units, picks, strict=True)
        return cls(names, units, [(unit, names[i]) for unit, pick in pairs for i in pick])

    @property
    def counts(self) -> tuple[int, ...]:
        """Genes of each regulator, in the order of `regulators`."""
        count = Counter(regulator for regulator, _, _ in self.edges)
        return tuple(count[regulator] for regulator in self.regulators)

    def connections(self) -> Connections:
        """The connections of the layer genes -> regulators: `[target=regulator, source=gene]`.

        Example:
            >>> RegulatoryNetwork(["a", "b"], ["R"], [("R", "b")]).connections().mask
            tensor([[False,  True]])
        """
        mask = torch.zeros(len(self.regulators), len(self.genes), dtype=torch.bool)
        mask[self._indices()] = True
        return Connections(mask)

    def signs(self) -> Tensor:
        """Signs of the edges, whole numbers `[target=regulator, source=gene]`.

        Returns:
            1 for an increase, -1 for a decrease, 0 where unknown or where there is no edge.

        Example:
            >>> RegulatoryNetwork(["a", "b"], ["R"], [("R", "b", -1)]).signs()
            tensor([[ 0, -1]])
        """
        matrix = torch.zeros(len(self.regulators), len(self.genes), dtype=torch.int64)
        matrix[self._indices()] = torch.tensor([sign for _, _, sign in self.edges])
        return matrix

    def shuffled(self, seed: int = 0, *, keep_genes: bool = True) -> "RegulatoryNetwork":
        """A random network of the same size: the control that tells whether the wiring matters.

        Every regulator keeps its number of genes *and* every gene its number of regulators. So what
        differs is who belongs to whom, and nothing else: not the number of weights, and not which
        genes are seen at all. Pairs of regulators trade genes that only one of them has, each gene
        with its sign, until all arrangements with these counts are about equally likely.

        Source: G. Strona, D. Nappo, F. Boccacci, S. Fattorini and J. San-Miguel-Ayanz 2014, A fast
        and unbiased procedure to randomize ecological binary matrices with fixed row and column
        totals, Nature Communications 5:4114.

        Args:
            seed: Which draw.
            keep_genes: Whether genes keep their number of regulators. Without, each regulator draws
                its genes from all that are measured: an easier control to beat, since it also hides
                genes that matter.

        Returns:
            A network with the same names.

        Raises:
            TaskError: If no other network has these counts.

        Example:
            >>> network = RegulatoryNetwork.random()
            >>> network.shuffled().counts == network.counts, network.shuffled() == network
            (True, False)
        """
        rng = generator(seed, "genes/shuffle")
        rows = {regulator: {} for regulator in self.regulators}
        for regulator, gene, sign in self.edges:
            rows[regulator][gene] = sign
        if keep_genes:
            _trade_all(list(rows.values()), rng)
        else:
            rows = {regulator: self._drawn(row, rng) for regulator, row in rows.items()}
        edges = [(r, gene, sign) for r, row in rows.items() for gene, sign in row.items()]
        return RegulatoryNetwork(self.genes, self.regulators, edges)

    def _drawn(self, row: dict[str, int], rng: torch.Generator) -> dict[str, int]:
        """As many genes, of all."""
        picked = torch.randperm(len(self.genes), generator=rng)[: len(row)].tolist()
        return dict(zip([self.genes[i] for i in picked], row.values(), strict=True))

    def _indices(self) -> tuple[Tensor, Tensor]:
        row, column = _places(self.regulators), _places(self.genes)
        targets = torch.tensor([row[regulator] for regulator, _, _ in self.edges])
        return targets, torch.tensor([column[gene] for _, gene, _ in self.edges])


def _trade_all(rows: list[dict[str, int]], rng: torch.Generator) -> None:
    """Let random pairs of regulators trade, in place."""
    if not any(a.keys() - b.keys() and b.keys() - a.keys() for a in rows for b in rows):
        problem = "Wanted two regulators that each have a gene the other lacks, got none: "
        raise TaskError("shuffled network", [f"{problem}no other network has these counts."])
    for _ in range(TRADES * len(rows)):
        first, second = torch.randperm(len(rows), generator=rng)[:2].tolist()
        _trade(rows[first], rows[second], rng)


def _trade(a: dict[str, int], b: dict[str, int], rng: torch.Generator) -> None:
    """Deal the genes that only one of two regulators has anew, as many to each as before."""
    own, other = [g for g in a if g not in b], [g for g in b if g not in a]
    pool = [(gene, a.pop(gene)) for gene in own] + [(gene, b.pop(gene)) for gene in other]
    order = torch.randperm(len(pool), generator=rng).tolist()
    a.update(pool[i] for i in order[: len(own)])
    b.update(pool[i] for i in order[len(own) :])


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


def _few(names: Iterable[Any]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def _repeated(what: str, names: Sequence[str]) -> list[str]:
    twice = [name for name, count in Counter(names).items() if count > 1]
    found = [f"Wanted {what} with different names, got twice: {_few(twice)}."] if twice else []
    return found if names else [f"Wanted at least one of the {what}, got none."]


def _edge_problems(
    edges: list[tuple], genes: Sequence[str], regulators: Sequence[str]
) -> list[str]:
    odd = [edge for edge in edges if len(edge) != 3 or edge[2] not in (-1, 0, 1)]
    if odd:
        return [f"Wanted edges (regulator, gene) or (regulator, gene, sign -1 to 1), got {odd[0]}."]
    problems = []
    for what, names, place in (("regulator", regulators, 0), ("gene", genes, 1)):
        given = set(names)
        unknown = list(dict.fromkeys(e[place] for e in edges if e[place] not in given))
        problems += [_unknown(what, name, names) for name in unknown[:SHOWN]]
    twice = [pair for pair, count in Counter(e[:2] for e in edges).items() if count > 1]
    if twice:
        problems.append(f"Wanted each edge once, got twice: {_few(twice)}.")
    acting = {edge[0] for edge in edges}
    lonely = [name for name in regulators if name not in acting]
    if lonely:
        problems.append(f"Wanted a gene for every regulator, got none for {_few(lonely)}.")
    return problems


def _unknown(what: str, name: Any, names: Iterable[str]) -> str:
    close = get_close_matches(str(name), [*map(str, names)], n=1)
    return f"Unknown {what} {name!r}{f'; did you mean {close[0]!r}?' if close else '.'}"


def read_regulators(
    table: str | Path | pd.DataFrame,
    genes: Iterable[str],
    *,
    regulator: str = "regulator",
    gene: str = "gene",
    effect: str | None = None,
    keep: Iterable[str] = tuple(EFFECTS),
) -> RegulatoryNetwork:
    """Read a table of regulators and their genes, one row for each pair.

    The table is written regulator -> gene, as knowledge bases are; `connections()` of the result is
    turned for a layer that computes gene -> regulator. Genes that were not measured are left out,
    regulators without any measured gene too, and a pair that occurs in several rows counts once;
    where its rows name different effects, its sign is unknown. A warning and `notes` say how many.

    Args:
        table: A file with a header (tabs if its name ends in `.tsv` or `.txt`, else commas), or a
            pandas table.
        genes: Names of the measured genes, in the order of the expression matrix's columns.
        regulator: The column that names who acts.
        gene: The column that names who is acted on.
        effect: The column that says `increase`, `decrease` or `other`; None: signs are unknown.
        keep: Only rows with one of these effects.

    Returns:
        A network with regulators in the order in which the table names them first.

    Raises:
        TaskError: If a column is missing, entries are empty, an effect is unknown, or no row has a
            measured gene; all problems at once.

    Example:
        >>> table = pd.DataFrame({"regulator": ["R", "R"], "gene": ["b", "a"],
        ...                       "effect": ["increase", "decrease"]})
        >>> read_regulators(table, ["a", "b"], effect="effect").signs()
        tensor([[-1,  1]])
    """
    measured, kept = tuple(genes), tuple(keep)
    columns = _columns(table)
    problems = _repeated("measured genes", measured)
    problems += _column_problems(columns, [regulator, gene, *([effect] if effect else [])])
    problems += _effect_problems(columns, effect, kept)
    if problems:
        raise TaskError("table of regulators", problems)
    words = columns[effect] if effect else ["other"] * len(columns[gene])
    rows = [
        (who, whom, EFFECTS[word.lower()])
        for who, whom, word in zip(columns[regulator], columns[gene], words, strict=True)
        if word.lower() in kept
    ]
    seen = set(measured)
    known = [row for row in rows if row[1] in seen]
    if not known:
        raise TaskError("table of regulators", [_nothing_left(rows, measured)])
    signs: dict[tuple[str, str], set[int]] = {}
    for who, whom, sign in known:
        signs.setdefault((who, whom), set()).add(sign)
    edges = [(*pair, sign.pop() if len(sign) == 1 else 0) for pair, sign in signs.items()]
    conflicts = sum(len(sign) > 1 for sign in signs.values())
    notes = [*_left_out(rows, known, measured), *_merged(len(known), len(edges), conflicts)]
    if notes:
        warnings.warn(" ".join(notes), stacklevel=2)
    return RegulatoryNetwork(measured, dict.fromkeys(who for who, _, _ in known), edges, notes)


def _columns(table: str | Path | pd.DataFrame) -> dict[str, list[str]]:
    """All entries as text without blanks around; a gene called NA is no missing entry."""
    if not isinstance(table, pd.DataFrame):
        tabs = str(table).endswith((".tsv", ".txt"))
        table = pd.read_csv(table, sep="\t" if tabs else ",", dtype=str, keep_default_na=False)
    return {
        str(name): ["" if pd.isna(entry) else str(entry).strip() for entry in table[name]]
        for name in table.columns
    }


def _column_problems(columns: dict[str, list[str]], wanted: list[str]) -> list[str]:
    """Problems of the columns that must be there and full."""
    problems = []
    for name in wanted:
        if name not in columns:
            problems.append(
                f"{_unknown('column', name, columns)} Columns are {', '.join(columns)}."
            )
        elif empty := [i for i, entry in enumerate(columns[name], start=1) if not entry]:
            problems.append(f"Wanted an entry of {name!r} in every row, got none in {_few(empty)}.")
    return problems


def _effect_problems(
    columns: dict[str, list[str]], effect: str | None, keep: tuple[str, ...]
) -> list[str]:
    problems = [_unknown("effect to keep", word, EFFECTS) for word in keep if word not in EFFECTS]
    if effect is None and set(keep) != set(EFFECTS):
        problems.append("To keep some effects only, name their column: effect=....")
    words = dict.fromkeys(word for word in columns.get(effect or "", ()) if word)
    odd = [word for word in words if word.lower() not in EFFECTS]
    problems += [_unknown("effect", word, EFFECTS) for word in odd[:SHOWN]]
    return [*problems, f"Effects are {', '.join(EFFECTS)}."] if odd else problems


def _nothing_left(rows: list[Row], measured: tuple[str, ...]) -> str:
    if not rows:
        return "Wanted at least one row with an effect to keep, got none."
    if acting := len({who for who, _, _ in rows} & set(measured)):
        return (
            f"The table looks reversed: none of its genes is measured, but {acting} of its "
            "regulators are. Name the columns the other way round: regulator=..., gene=...."
        )
    named = dict.fromkeys(whom for _, whom, _ in rows)
    return (
        f"None of the {len(named)} genes of the table is measured; it names {_few(named)}, "
        f"measured are {_few(measured)}. Both must use the same kind of names."
    )


def _left_out(rows: list[Row], known: list[Row], measured: tuple[str, ...]) -> list[str]:
    """What the network does not show of the table, and whether that looks like a mistake."""
    notes, seen = [], set(measured)
    named = dict.fromkeys(whom for _, whom, _ in rows)
    lost = [name for name in named if name not in seen]
    if lost:
        notes.append(f"{len(lost)} of {len(named)} genes are not measured, left out: {_few(lost)}.")
    acting, left = dict.fromkeys(who for who, _, _ in rows), {who for who, _, _ in known}
    idle = [name for name in acting if name not in left]
    if idle:
        notes.append(f"{len(idle)} regulators have no measured gene, left out: {_few(idle)}.")
    turned = len(seen & acting.keys())
    if turned > len(named) - len(lost):
        notes.append(
            f"The table may be reversed: {turned} of its regulators are measured, but only "
            f"{len(named) - len(lost)} of its genes."
        )
    return notes


def _merged(rows: int, edges: int, conflicts: int) -> list[str]:
    notes = []
    if rows > edges:
        notes.append(f"{rows - edges} rows repeat the pair of another row, counted once.")
    if conflicts:
        notes.append(f"{conflicts} pairs have rows of different effects; their sign is unknown.")
    return notes


def regulator_penalty(
    incoming: Tensor, outgoing: Tensor, sizes: Any, strength: float, alpha: float = 0.5
) -> Tensor:
    """A price on each regulator as a whole, so that training drops those that are not needed.

    strength · Σ over regulators r of (α · √size_r · |outgoing_r| + (1 - α) · ‖incoming_r‖₂). The
    first part is larger for regulators with many genes, which fit by chance more easily; the second
    is a group lasso: it takes all incoming weights of a regulator to zero together.

    Source: T. Kang, W. Ding, L. Zhang, D. Ziemek and K. Zarringhalam 2017, A biological
    network-based regularized artificial neural network model for robust phenotype prediction from
    gene expression data, BMC Bioinformatics 18:565.

    Args:
        incoming: Weights `(regulators, genes)`, closed ones zero.
        outgoing: Weights `(regulators,)` or `(outputs, regulators)`.
        sizes: Genes of each regulator, `(regulators,)`, e.g. `RegulatoryNetwork.counts`.
        strength: Price in units of the loss, 0 for free.
        alpha: Share of the part on outgoing weights, from 0 to 1.

    Returns:
        A scalar to add to the loss. Its gradient is finite everywhere: zero for a row of zeros.

    Example:
        >>> incoming = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
        >>> regulator_penalty(incoming, torch.tensor([1.0, -1.0]), (4, 1), strength=2.0).item()
        8.0
    """
    weights = torch.as_tensor(sizes, dtype=outgoing.dtype, device=outgoing.device).sqrt()
    on_outgoing = (weights * outgoing.abs()).sum()
    on_incoming = torch.linalg.vector_norm(incoming, dim=-1).sum()
    return strength * (alpha * on_outgoing + (1 - alpha) * on_incoming)
