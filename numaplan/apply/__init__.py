"""Carries a plan out: several guests in one transaction, with a journal, or not at all."""
