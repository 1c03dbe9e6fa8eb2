"""Behaviours along KL: which emerge, when, by how much, and what was predictable beforehand.

Everything here reads the headlines of `analysis.probes.PROBES`, so a new probe with a headline takes part in
all of it. `tables.behaviour_tables` computes the tables; figures and report draw from them.
"""
