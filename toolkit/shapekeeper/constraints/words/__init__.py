"""Languages: words of one length that a layer may say."""

from .automaton import Automaton
from .grammar import Grammar
from .lattice import PAD, Lattice, Layer

__all__ = ["PAD", "Automaton", "Grammar", "Lattice", "Layer"]
