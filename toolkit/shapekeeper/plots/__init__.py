from .ink import look
from .plane import tradeoff
from .curves import training
from .rows import table
from .cells import matrix
from .graphs import wiring
