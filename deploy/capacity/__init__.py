"""How much traffic an installation bears: measured costs, a simulation fed by them, and the tables
of `docs/scaling.md`. Everything but `measuring` is pure: no clock, no I/O, and one seed.
"""
