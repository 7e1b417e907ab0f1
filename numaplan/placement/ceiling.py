"""What no plan's priority beats, by the ways to fill nodes: what guests are worth, and what a node can hold of them.

Prices of a linear program in which guests are covered by ways to fill nodes (conflict/covering.py has the like of it)
say what each cell is worth where it takes room from others. No plan is worth more than the heaviest ways under them,
and what guests are worth beyond their cells (weak duality; Gilmore and Gomory, "A linear programming approach to the
cutting-stock problem", 1961): in whole numbers, whatever the prices. Links, VFs and devices are left out.
"""

from typing import Final

# How often the heaviest way to fill a node is asked for.
MOST_ASKED: Final = 250
