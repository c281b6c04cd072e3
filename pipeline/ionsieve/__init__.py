"""ionsieve: screening of doped solid electrolytes by molecular dynamics with machine-learned potentials.

Importing the package imports nothing heavy: the rooms (``ionsieve.transport``, ``ionsieve.channels``, ...) are
imported when they are named.
"""

__version__ = "0.1.0"
