from .ink import look
from .plane import tradeoff
from .curves import training
