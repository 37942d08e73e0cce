"""What happens inside jit: losses, optimisers, phases, one update, one prediction."""
