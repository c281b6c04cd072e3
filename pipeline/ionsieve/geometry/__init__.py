"""Periodic cells, polygons, power diagrams and neighbour pairs.

Modules are imported by name; nothing is loaded here.
"""
