"""What would make an infeasible request feasible, cheapest first."""
